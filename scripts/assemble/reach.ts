// Which files and packages a program needs: its imports, followed to the end.
import { existsSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { readScript, type Script } from './javascript.ts';
import { exportedFile, readWorkspaces, root, type Workspace } from './workspaces.ts';

export interface Reached {
  /** Source files, relative to the repository. */
  readonly scripts: ReadonlyMap<string, Script>;
  readonly workspaces: ReadonlySet<Workspace>;
  /** Installed packages, by their folder relative to the repository, in the order of folders. */
  readonly packages: ReadonlyMap<string, Locked>;
}

/** An entry of package-lock.json, as far as it is asked. */
export interface Locked {
  readonly version: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/**
 * @param entries source files, relative to the repository.
 * Packages are what the manifests of the reached workspaces name, whether or not a reached file imports it by a literal: some are
 * loaded late.
 */
export const reach = (entries: readonly string[]): Reached => {
  const known = readWorkspaces();
  const scripts = new Map<string, Script>();
  const workspaces = new Set<Workspace>();
  const queue = [...entries];
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (scripts.has(file)) continue;
    const script = readScript(file);
    scripts.set(file, script);
    const home = [...known.values()].find(({ folder }) => file?.startsWith(`${folder}/`));
    if (home) workspaces.add(home);
    for (const name of script.imports) {
      if (name.startsWith('.')) queue.push(posix.join(posix.dirname(file), name));
      const [scope, short, ...rest] = name.split('/');
      const workspace = known.get(`${scope}/${short}`);
      if (workspace) queue.push(exportedFile(workspace, ['.', ...rest].join('/')));
    }
  }
  return { scripts: inOrder(scripts), workspaces, packages: packagesOf(workspaces, known) };
};

const packagesOf = (
  workspaces: ReadonlySet<Workspace>,
  known: ReadonlyMap<string, Workspace>,
): ReadonlyMap<string, Locked> => {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages as Record<string, Locked>;
  const found = new Map<string, Locked>();
  const need = (from: string, name: string, optional: boolean): void => {
    if (known.has(name)) return;
    const folder = resolved(lock, from, name);
    if (folder === undefined || !existsSync(join(root, folder))) {
      if (optional) return;
      throw new Error(`${name}, which ${from} needs, is not installed: run npm ci`);
    }
    if (found.has(folder)) return;
    const locked = lock[folder] as Locked;
    found.set(folder, locked);
    for (const next of Object.keys(locked.dependencies ?? {})) need(folder, next, false);
    const optionals = { ...locked.optionalDependencies, ...locked.peerDependencies };
    for (const next of Object.keys(optionals)) need(folder, next, true);
  };
  for (const { folder, manifest } of workspaces) {
    for (const name of Object.keys(manifest.dependencies ?? {})) need(folder, name, false);
  }
  return inOrder(found);
};

/** Where Node would find the package: in the nearest node_modules above. */
const resolved = (lock: Readonly<Record<string, Locked>>, from: string, name: string): string | undefined => {
  for (let at = from; ; at = posix.dirname(at)) {
    const folder = posix.join(at === '.' ? '' : at, 'node_modules', name);
    if (lock[folder] !== undefined) return folder;
    if (at === '.') return undefined;
  }
};

const inOrder = <T>(map: ReadonlyMap<string, T>): ReadonlyMap<string, T> =>
  new Map([...map].sort(([one], [other]) => (one < other ? -1 : 1)));
