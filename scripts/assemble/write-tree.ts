// Puts what a program needs into a folder, as the repository has it, with JavaScript where it has TypeScript.
import { chmodSync, cpSync, lutimesSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { scriptName } from './javascript.ts';
import type { Reached } from './reach.ts';
import { type Manifest, root, type Workspace } from './workspaces.ts';

/** The one file that the core's package loads beside its scripts. */
export const nativeFile = 'core-native/npm/aegis-node.node';

export const writeTree = (reached: Reached, into: string): void => {
  const put = (file: string, content: string): void => {
    mkdirSync(join(into, dirname(file)), { recursive: true });
    writeFileSync(join(into, file), content);
  };
  for (const [file, { code }] of reached.scripts) put(scriptName(file), code);
  for (const workspace of reached.workspaces) {
    const { folder, manifest } = workspace;
    put(join(folder, 'package.json'), `${JSON.stringify(runnable(workspace), null, 2)}\n`);
    const link = join(into, 'node_modules', manifest.name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(relative(dirname(link), join(into, folder)), link);
    if (nativeFile.startsWith(`${folder}/`)) cpSync(join(root, nativeFile), join(into, nativeFile));
  }
  for (const folder of reached.packages.keys()) {
    cpSync(join(root, folder), join(into, folder), {
      recursive: true,
      dereference: true,
      // What is nested has entries of its own; types and maps are nothing that runs.
      filter: (from) => !/[/]node_modules[/].*[/]node_modules$|\.(d\.[cm]?ts|map)$/.test(posix.normalize(from)),
    });
  }
};

/** The manifest of a workspace whose files are JavaScript. */
export const runnable = ({ manifest }: Workspace): Manifest => {
  const { devDependencies: _development, scripts: _scripts, ...kept } = manifest;
  const renamed = (map: Readonly<Record<string, string>> | undefined) =>
    map && Object.fromEntries(Object.entries(map).map(([key, target]) => [key, scriptName(target)]));
  return {
    ...kept,
    ...(manifest.exports && { exports: renamed(manifest.exports) as Record<string, string> }),
    ...(manifest.bin && { bin: renamed(manifest.bin) as Record<string, string> }),
    ...(manifest.main && { main: scriptName(manifest.main) }),
  };
};

/** Equal contents become equal archives: one time, and no rights but these. `programs`: the files that may be run. */
export const normalise = (folder: string, seconds: number, programs: readonly string[] = []): void => {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) normalise(path, seconds, programs);
    else {
      if (entry.isFile()) chmodSync(path, programs.includes(entry.name) ? 0o755 : 0o644);
      lutimesSync(path, seconds, seconds);
    }
  }
  chmodSync(folder, 0o755);
  lutimesSync(folder, seconds, seconds);
};
