// The packages that people install: `aegis` and what it needs of this repository, as JavaScript, one archive for each workspace.
//   node scripts/npm-packages.ts [FOLDER]      default: .cache/npm; then, in any folder: npm install FOLDER/*.tgz
// The one with the native core is for the system that it was compiled on, and says so.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { scriptName } from './assemble/javascript.ts';
import { reach } from './assemble/reach.ts';
import { entriesOf, readWorkspaces, root } from './assemble/workspaces.ts';
import { nativeFile, runnable } from './assemble/write-tree.ts';

/** @returns the archives. */
export const packNpm = (into = join(root, '.cache/npm')): string[] => {
  rmSync(into, { recursive: true, force: true });
  const cli = readWorkspaces().get('@aegis/cli');
  if (cli === undefined) throw new Error('there is no workspace @aegis/cli');
  const { workspaces } = reach(entriesOf(cli));
  const { scripts } = reach([...workspaces].flatMap(entriesOf));
  return [...workspaces].map((workspace) => {
    const { folder } = workspace;
    const stage = join(into, 'work', folder);
    const put = (file: string, content: string): void => {
      mkdirSync(dirname(join(stage, file)), { recursive: true });
      writeFileSync(join(stage, file), content);
    };
    for (const [file, { code }] of scripts) {
      if (file.startsWith(`${folder}/`)) put(scriptName(relative(folder, file)), code);
    }
    const { files: _all, ...manifest } = runnable(workspace);
    const hasNative = nativeFile.startsWith(`${folder}/`);
    const system = hasNative ? { os: [process.platform], cpu: [process.arch], ...libc() } : {};
    put('package.json', `${JSON.stringify({ ...manifest, engines: { node: '>=24' }, ...system }, null, 2)}\n`);
    if (hasNative) cpSync(join(root, nativeFile), join(stage, relative(folder, nativeFile)));
    cpSync(join(root, 'LICENSE'), join(stage, 'LICENSE'));
    const packed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', into], {
      cwd: stage,
      encoding: 'utf8',
    });
    return join(into, fileNameIn(packed));
  });
};

/** npm prints a list, or from its release 12 on an object by name. */
const fileNameIn = (packed: string): string => {
  const [one] = Object.values(JSON.parse(packed) as Record<string, { filename: string }>);
  if (one === undefined) throw new Error(`npm pack says ${packed}`);
  return one.filename.replace('@', '').replace('/', '-');
};

/** glibc or musl; elsewhere there is no choice. */
const libc = (): { libc?: string[] } => {
  if (process.platform !== 'linux') return {};
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return { libc: [header.glibcVersionRuntime === undefined ? 'musl' : 'glibc'] };
};

if (import.meta.main) {
  const given = process.argv[2];
  for (const file of packNpm(given === undefined ? undefined : resolve(given))) console.log(file);
}
