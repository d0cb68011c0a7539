// Writes deploy/observability/dashboards/*.json from deploy/observability/src/dashboards, and copies them and the rules to where the Helm chart can read
// them: a chart knows no file outside itself. `--check` fails when a committed one differs.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dashboards } from '../deploy/observability/src/dashboards/index.ts';
import { buildDashboard } from '../deploy/observability/src/dashboards/panels.ts';

const root = join(import.meta.dirname, '..');
const rules = join(root, 'deploy/observability/rules');

const built = new Map(
  dashboards.map((one) => [`${one.uid}.json`, `${JSON.stringify(buildDashboard(one), null, 2)}\n`]),
);
const written = new Map(readdirSync(rules).map((name) => [name, readFileSync(join(rules, name), 'utf8')]));
/** Folder: file: content. */
const wanted = new Map([
  ['deploy/observability/dashboards', built],
  ['deploy/k8s/helm/aegis/files/dashboards', built],
  ['deploy/k8s/helm/aegis/files/rules', written],
]);

const stale: string[] = [];
for (const [folder, files] of wanted) {
  const place = join(root, folder);
  mkdirSync(place, { recursive: true });
  const there = readdirSync(place);
  for (const name of new Set([...there, ...files.keys()])) {
    const content = files.get(name);
    const before = there.includes(name) ? readFileSync(join(place, name), 'utf8') : undefined;
    if (before === content) continue;
    stale.push(join(folder, name));
    if (process.argv.includes('--check')) continue;
    if (content === undefined) rmSync(join(place, name));
    else writeFileSync(join(place, name), content);
  }
}
if (process.argv.includes('--check') && stale.length > 0) {
  console.error(`not current: ${stale.join(', ')}; run \`node scripts/dashboards.ts\``);
  process.exit(1);
}
