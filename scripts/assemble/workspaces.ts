// The workspaces of this repository, by name.
import { globSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

export const root = join(import.meta.dirname, '../..');

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly exports?: Readonly<Record<string, string>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly main?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly [key: string]: unknown;
}

export interface Workspace {
  /** Relative to the repository, with slashes. */
  readonly folder: string;
  readonly manifest: Manifest;
}

export const readManifest = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Manifest;

export const version = readManifest('.').version;

/** In the order of their names. */
export const readWorkspaces = (): ReadonlyMap<string, Workspace> => {
  const patterns = readManifest('.').workspaces as string[];
  const folders = patterns.flatMap((pattern) => globSync(`${pattern}/package.json`, { cwd: root }));
  const found = folders.map((file): [string, Workspace] => {
    const folder = posix.dirname(file);
    const manifest = readManifest(folder);
    return [manifest.name, { folder, manifest }];
  });
  return new Map(found.sort(([one], [other]) => (one < other ? -1 : 1)));
};

/** The source file that `import '@aegis/…'` means; throws when the workspace does not export it. */
export const exportedFile = ({ folder, manifest }: Workspace, subpath: string): string => {
  for (const [pattern, target] of Object.entries(manifest.exports ?? {})) {
    const [before = '', after] = pattern.split('*');
    if (after === undefined ? subpath !== pattern : !subpath.startsWith(before) || !subpath.endsWith(after)) continue;
    const star = after === undefined ? '' : subpath.slice(before.length, subpath.length - after.length);
    return posix.join(folder, target.replace('*', star));
  }
  throw new Error(`${manifest.name} does not export ${subpath}`);
};

/** What a workspace offers: its exports and its programs. */
export const entriesOf = ({ folder, manifest }: Workspace): string[] =>
  [...Object.values(manifest.exports ?? {}), ...Object.values(manifest.bin ?? {})].flatMap((target) =>
    globSync(posix.join(folder, target.replace('*', '**/*')), { cwd: root }).map((file) => posix.normalize(file)),
  );
