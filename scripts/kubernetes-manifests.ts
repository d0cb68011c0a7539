// deploy/k8s/manifests: the chart for those without Helm, one folder per set of values.
//   node scripts/kubernetes-manifests.ts            writes them
//   node scripts/kubernetes-manifests.ts --check    says whether they are current
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const target = join(root, 'deploy/k8s/manifests');
const sets = { cluster: null, 'single-node': 'deploy/k8s/values/single-node.yaml' } as const;

execFileSync(join(root, 'scripts/helm.sh'), { stdio: 'inherit' });

/** Content by path below `target`. */
const wanted = new Map<string, string>();
for (const [set, values] of Object.entries(sets)) {
  const args = ['template', 'aegis', join(root, 'deploy/k8s/helm/aegis'), '--namespace', 'aegis', '--no-hooks'];
  if (values !== null) args.push('--values', join(root, values));
  const text = execFileSync(join(root, '.cache/bin/helm'), args, { encoding: 'utf8', maxBuffer: 2 ** 25 });
  const files = new Map<string, string[]>();
  for (const piece of text.split(/^---\n/m)) {
    const source = /^# Source: (\S+)\n/.exec(piece)?.[1];
    if (source === undefined) continue;
    const object = piece
      .replace(/^# Source: .*\n/, '')
      .replace('app.kubernetes.io/managed-by: Helm', 'app.kubernetes.io/managed-by: kubectl')
      .replaceAll(/[ ]+$/gm, '');
    if (/^kind:/m.test(object)) files.set(basename(source), [...(files.get(basename(source)) ?? []), object]);
  }
  for (const [file, objects] of files) wanted.set(`${set}/${file}`, objects.join('---\n'));
  const resources = [...files.keys()].sort().map((file) => `  - ${file}\n`);
  wanted.set(
    `${set}/kustomization.yaml`,
    `apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n${resources.join('')}`,
  );
}

const present = readdirSync(target, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name).slice(target.length + 1));

if (process.argv.includes('--check')) {
  const read = (file: string): string | undefined =>
    present.includes(file) ? readFileSync(join(target, file), 'utf8') : undefined;
  const stale = [...new Set([...present, ...wanted.keys()])].filter((file) => read(file) !== wanted.get(file));
  if (stale.length > 0) {
    console.error(`not what the chart makes: ${stale.join(', ')}; run node scripts/kubernetes-manifests.ts`);
    process.exit(1);
  }
  console.log(`${wanted.size} files are current`);
} else {
  for (const file of present) if (!wanted.has(file)) rmSync(join(target, file));
  for (const [file, content] of wanted) {
    mkdirSync(join(target, file, '..'), { recursive: true });
    writeFileSync(join(target, file), content);
  }
  console.log(`${wanted.size} files written`);
}
