// What an app bundle (FAB) must be before we keep it or send it to a node. The ZIP directory is already listed and the
// files already hashed; every refusal names the entry.
import { AegisError } from '@aegis/errors';
import type { FlatConfig, Scalar } from './scalar.ts';

export const MAX_BUNDLE_BYTES = 10 * 1024 * 1024;
const MAX_UNPACKED_BYTES = 100 * 1024 * 1024;
const MAX_ENTRIES = 10_000;
const MAX_RATIO = 200;
const RATIO_MATTERS_FROM = 1024 * 1024;
const MAX_NAME_BYTES = 512;

export const MANIFEST = '.info/CONTENT';
export const PYPROJECT = 'pyproject.toml';

/** One entry of the ZIP's central directory. */
export interface BundleEntry {
  readonly name: string;
  readonly packed: number;
  readonly unpacked: number;
  readonly method: number;
  readonly encrypted: boolean;
  /** Unix mode where the writer recorded one, else 0. */
  readonly mode: number;
}

export interface BundleFile {
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
}

export interface AppFacts {
  readonly publisher: string;
  readonly name: string;
  readonly version: string;
  /** `<publisher>/<name>`, Flower's fab id. */
  readonly appId: string;
  readonly clientapp: string;
  readonly config: FlatConfig;
}

export function checkBundleSize(bytes: number): void {
  if (bytes > MAX_BUNDLE_BYTES)
    throw new AegisError('APP_TOO_LARGE', `It has ${bytes} bytes, the limit is ${MAX_BUNDLE_BYTES}.`);
  if (bytes === 0) throw new AegisError('APP_MALFORMED', 'It is empty.');
}

/** Everything that can be said before a byte is unpacked. */
export function checkEntries(entries: readonly BundleEntry[]): void {
  if (entries.length > MAX_ENTRIES) throw malformed(`It has ${entries.length} entries, the limit is ${MAX_ENTRIES}.`);
  const seen = new Set<string>();
  let unpacked = 0;
  for (const entry of entries) {
    checkName(entry.name);
    checkKind(entry);
    if (seen.has(entry.name)) throw malformed(`Entry ${quote(entry.name)} is there twice.`);
    seen.add(entry.name);
    unpacked += entry.unpacked;
    if (unpacked > MAX_UNPACKED_BYTES) {
      throw malformed(`Entry ${quote(entry.name)} takes the unpacked size past ${MAX_UNPACKED_BYTES} bytes.`);
    }
    if (entry.unpacked > RATIO_MATTERS_FROM && entry.unpacked > entry.packed * MAX_RATIO) {
      throw malformed(
        `Entry ${quote(entry.name)} unpacks ${entry.packed} bytes to ${entry.unpacked}, more than ${MAX_RATIO}-fold.`,
      );
    }
  }
  for (const name of seen) {
    for (let slash = name.indexOf('/'); slash !== -1; slash = name.indexOf('/', slash + 1)) {
      const parent = name.slice(0, slash);
      if (seen.has(parent)) throw malformed(`Entry ${quote(parent)} is a file and the folder of ${quote(name)}.`);
    }
  }
}

/** Every file is listed with its hash and size, and every listed file is there. */
export function checkManifest(manifest: string, files: readonly BundleFile[]): void {
  const listed = new Map<string, { sha256: string; bits: string }>();
  for (const line of manifest.split(/\r?\n/)) {
    if (line === '') continue;
    const match = /^(.+),([0-9a-f]{64}),(\d+)$/.exec(line);
    if (match === null)
      throw malformed(`${MANIFEST} has a line that is not path,sha256,bits: ${quote(line.slice(0, 120))}.`);
    const [, path, sha256, bits] = match as unknown as [string, string, string, string];
    if (listed.has(path)) throw malformed(`${MANIFEST} lists ${quote(path)} twice.`);
    listed.set(path, { sha256, bits });
  }
  for (const file of files) {
    const line = listed.get(file.path);
    // older releases (1.26 still) write pyproject.toml anew and do not list it
    if (line === undefined && file.path === PYPROJECT) continue;
    if (line === undefined) throw malformed(`File ${quote(file.path)} is not listed in ${MANIFEST}.`);
    if (line.sha256 !== file.sha256)
      throw malformed(`File ${quote(file.path)} does not have the SHA-256 that ${MANIFEST} gives.`);
    if (line.bits !== String(file.bytes * 8)) {
      throw malformed(`File ${quote(file.path)} has ${file.bytes * 8} bits, ${MANIFEST} says ${line.bits}.`);
    }
    listed.delete(file.path);
  }
  const [missing] = listed.keys();
  if (missing !== undefined) throw malformed(`${MANIFEST} lists ${quote(missing)}, which is not in the bundle.`);
}

/** `pyproject`: the parsed TOML, integers as bigint. */
export function readPyproject(pyproject: unknown): AppFacts {
  const project = table(pyproject, 'project');
  const app = table(pyproject, 'tool', 'flwr', 'app');
  const components = table(pyproject, 'tool', 'flwr', 'app', 'components');
  const publisher = word(app.publisher, 'tool.flwr.app.publisher');
  const name = word(project.name, 'project.name');
  const clientapp = components.clientapp;
  if (typeof clientapp !== 'string' || !/^[\w.]+:[\w.]+$/.test(clientapp)) {
    throw malformed(`${PYPROJECT}: tool.flwr.app.components.clientapp must be "module:attribute".`);
  }
  // Nothing of it runs here, and no app that Flower builds is without.
  if (typeof components.serverapp !== 'string')
    throw malformed(`${PYPROJECT}: tool.flwr.app.components.serverapp must be "module:attribute".`);
  return {
    publisher,
    name,
    version: word(project.version, 'project.version'),
    appId: `${publisher}/${name}`,
    clientapp,
    config: flatten(app.config ?? {}),
  };
}

/** Flower's own flattening: nested tables joined by dots, scalars only. */
function flatten(config: unknown): FlatConfig {
  const flat = new Map<string, Scalar>();
  const walk = (value: unknown, path: string): void => {
    if (typeof value === 'bigint') flat.set(path, { kind: 'integer', value });
    else if (typeof value === 'number') flat.set(path, { kind: 'real', value });
    else if (typeof value === 'boolean') flat.set(path, { kind: 'flag', value });
    else if (typeof value === 'string') flat.set(path, { kind: 'text', value });
    else if (isTable(value))
      for (const key of Object.keys(value)) walk(value[key], path === '' ? key : `${path}.${key}`);
    else
      throw malformed(
        `${PYPROJECT}: tool.flwr.app.config.${path} must be an integer, a float, a bool, a string or a table of those.`,
      );
  };
  if (!isTable(config)) throw malformed(`${PYPROJECT}: tool.flwr.app.config must be a table.`);
  walk(config, '');
  return flat;
}

function checkName(name: string): void {
  const refuse = (why: string): never => {
    throw malformed(`Entry ${quote(name.slice(0, 120))} ${why}.`);
  };
  if (name === '') refuse('has no name');
  if (name.length > MAX_NAME_BYTES) refuse(`has a name longer than ${MAX_NAME_BYTES} characters`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u001f\u007f\\]/.test(name)) refuse('has a backslash or a control character in its name');
  if (name.startsWith('/') || /^[A-Za-z]:/.test(name)) refuse('has an absolute path');
  const path = name.endsWith('/') ? name.slice(0, -1) : name;
  for (const piece of path.split('/')) {
    if (piece === '..') refuse('leaves the bundle with ".."');
    if (piece === '' || piece === '.') refuse('has an empty or "." path segment');
  }
}

const FILE_TYPE = 0o170000;
const REGULAR = 0o100000;
const FOLDER = 0o040000;
const LINK = 0o120000;

function checkKind(entry: BundleEntry): void {
  const type = entry.mode & FILE_TYPE;
  if (type === LINK) throw malformed(`Entry ${quote(entry.name)} is a symbolic link.`);
  const folder = entry.name.endsWith('/');
  if (type !== 0 && type !== (folder ? FOLDER : REGULAR))
    throw malformed(`Entry ${quote(entry.name)} is not an ordinary file.`);
  if (folder && entry.unpacked !== 0) throw malformed(`Entry ${quote(entry.name)} is a folder with content.`);
  if (entry.encrypted) throw malformed(`Entry ${quote(entry.name)} is encrypted.`);
  if (entry.method !== 0 && entry.method !== 8) {
    throw malformed(`Entry ${quote(entry.name)} uses compression method ${entry.method}; only deflate is taken.`);
  }
}

function table(root: unknown, ...path: string[]): Record<string, unknown> {
  let at = root;
  for (const key of path) at = isTable(at) ? at[key] : undefined;
  if (!isTable(at)) throw malformed(`${PYPROJECT} has no table [${path.join('.')}].`);
  return at;
}

function word(value: unknown, path: string): string {
  if (typeof value !== 'string' || !/^[\w.+!-]{1,128}$/.test(value)) {
    throw malformed(`${PYPROJECT}: ${path} is missing or is not a plain name.`);
  }
  return value;
}

const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);

const quote = (name: string): string => JSON.stringify(name);
const malformed = (detail: string): AegisError => new AegisError('APP_MALFORMED', detail);
