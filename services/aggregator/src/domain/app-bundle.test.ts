import { describe, expect, it } from 'vitest';
import {
  type BundleEntry,
  checkBundleSize,
  checkEntries,
  checkManifest,
  MAX_BUNDLE_BYTES,
  readPyproject,
} from './app-bundle.ts';

const entry = (name: string, more: Partial<BundleEntry> = {}): BundleEntry => ({
  name,
  packed: 10,
  unpacked: 10,
  method: 8,
  encrypted: false,
  mode: 0o100644,
  ...more,
});
const refusal = (code: string, text: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(text) });

describe('the size of a bundle', () => {
  it('may be 10 MiB', () => expect(() => checkBundleSize(MAX_BUNDLE_BYTES)).not.toThrow());
  it('is refused past that', () =>
    expect(() => checkBundleSize(MAX_BUNDLE_BYTES + 1)).toThrow(refusal('APP_TOO_LARGE', '10485761')));
  it('is refused when there is nothing', () =>
    expect(() => checkBundleSize(0)).toThrow(refusal('APP_MALFORMED', 'empty')));
});

describe('the entries of a bundle', () => {
  it('are fine as flwr writes them', () => {
    expect(() =>
      checkEntries([
        entry('pyproject.toml'),
        entry('a/b.py'),
        entry('a/'.concat('c/'), { unpacked: 0, mode: 0o040755 }),
      ]),
    ).not.toThrow();
  });
  it('are fine without Unix modes', () => expect(() => checkEntries([entry('a.py', { mode: 0 })])).not.toThrow());

  it.each([
    ['leaves with ".."', entry('../evil.py'), '".."'],
    ['leaves in the middle', entry('a/../../evil.py'), '".."'],
    ['is absolute', entry('/etc/passwd'), 'absolute'],
    ['names a drive', entry('C:/x.py'), 'absolute'],
    ['has a backslash', entry('a\\b.py'), 'backslash'],
    ['has a zero byte', entry('a\0b.py'), 'control character'],
    ['has an empty segment', entry('a//b.py'), 'empty'],
    ['has a "." segment', entry('./b.py'), 'empty or "."'],
    ['has no name', entry(''), 'no name'],
    ['has an endless name', entry('a'.repeat(600)), 'longer than 512'],
    ['is a symbolic link', entry('link', { mode: 0o120777 }), 'symbolic link'],
    ['is a device', entry('dev', { mode: 0o020666 }), 'not an ordinary file'],
    ['is a folder by mode and a file by name', entry('a', { mode: 0o040755 }), 'not an ordinary file'],
    ['is a folder with content', entry('a/', { mode: 0o040755, unpacked: 3 }), 'folder with content'],
    ['is encrypted', entry('a', { encrypted: true }), 'encrypted'],
    ['is compressed strangely', entry('a', { method: 12 }), 'method 12'],
    ['unpacks a thousandfold', entry('bomb', { packed: 2000, unpacked: 2_000_000 }), '200-fold'],
    ['unpacks past the limit', entry('big', { packed: 9_000_000, unpacked: 110_000_000 }), 'past 104857600'],
  ])('are refused when one %s', (_what, bad, text) => {
    expect(() => checkEntries([entry('pyproject.toml'), bad])).toThrow(refusal('APP_MALFORMED', text));
  });

  it('are refused when two have one name', () => {
    expect(() => checkEntries([entry('a.py'), entry('a.py')])).toThrow(
      refusal('APP_MALFORMED', '"a.py" is there twice'),
    );
  });
  it('are refused when a file is also a folder', () => {
    expect(() => checkEntries([entry('a/b.py'), entry('a')])).toThrow(
      refusal('APP_MALFORMED', 'a file and the folder of'),
    );
  });
  it('are refused when there are too many', () => {
    const many = Array.from({ length: 10_001 }, (_, i) => entry(`f${i}`));
    expect(() => checkEntries(many)).toThrow(refusal('APP_MALFORMED', '10001 entries'));
  });
});

describe('the manifest', () => {
  const a = 'a'.repeat(64);
  const b = 'b'.repeat(64);
  const files = [
    { path: 'x.py', sha256: a, bytes: 2 },
    { path: 'with,comma.py', sha256: b, bytes: 0 },
  ];
  it('names every file with hash and bits', () =>
    expect(() => checkManifest(`x.py,${a},16\nwith,comma.py,${b},0`, files)).not.toThrow());
  it('of older releases does not name pyproject.toml', () => {
    const old = [...files, { path: 'pyproject.toml', sha256: b, bytes: 7 }];
    expect(() => checkManifest(`x.py,${a},16\nwith,comma.py,${b},0`, old)).not.toThrow();
  });
  it('may end its lines as Windows does', () =>
    expect(() => checkManifest(`x.py,${a},16\r\nwith,comma.py,${b},0\r\n`, files)).not.toThrow());

  it.each([
    ['a file is not listed', `x.py,${a},16`, '"with,comma.py" is not listed'],
    ['a listed file is missing', `x.py,${a},16\nwith,comma.py,${b},0\ny.py,${a},8`, 'lists "y.py"'],
    ['a hash differs', `x.py,${b},16\nwith,comma.py,${b},0`, '"x.py" does not have the SHA-256'],
    ['a size differs', `x.py,${a},24\nwith,comma.py,${b},0`, '16 bits'],
    ['a file is listed twice', `x.py,${a},16\nx.py,${a},16`, 'twice'],
    ['a line is something else', 'hello', 'not path,sha256,bits'],
  ])('is refused when %s', (_what, manifest, text) => {
    expect(() => checkManifest(manifest, files)).toThrow(refusal('APP_MALFORMED', text));
  });
});

describe('pyproject.toml', () => {
  const pyproject = (app: object = {}, project: object = {}) => ({
    project: { name: 'tiny', version: '1.2.3', ...project },
    tool: {
      flwr: {
        app: { publisher: 'aegis', components: { serverapp: 's:app', clientapp: 'tiny.client_app:app' }, ...app },
      },
    },
  });

  it('gives the app its names and its flattened config, integers apart from reals', () => {
    const facts = readPyproject(
      pyproject({ config: { lr: 0.5, rounds: 3n, model: { hidden: 8n, deep: { on: true } }, name: 'x' } }),
    );
    expect(facts.appId).toBe('aegis/tiny');
    expect([...facts.config]).toEqual([
      ['lr', { kind: 'real', value: 0.5 }],
      ['rounds', { kind: 'integer', value: 3n }],
      ['model.hidden', { kind: 'integer', value: 8n }],
      ['model.deep.on', { kind: 'flag', value: true }],
      ['name', { kind: 'text', value: 'x' }],
    ]);
  });
  it('needs no config', () => expect(readPyproject(pyproject()).config.size).toBe(0));

  it.each([
    ['no project', { tool: {} }, '[project]'],
    ['no app table', { project: { name: 'a', version: '1' }, tool: { flwr: {} } }, '[tool.flwr.app]'],
    ['no publisher', pyproject({ publisher: undefined }), 'tool.flwr.app.publisher'],
    ['a publisher that is a path', pyproject({ publisher: '../x' }), 'tool.flwr.app.publisher'],
    ['no name', pyproject({}, { name: undefined }), 'project.name'],
    ['no version', pyproject({}, { version: 3n }), 'project.version'],
    ['no clientapp', pyproject({ components: { serverapp: 's:app' } }), 'components.clientapp'],
    ['a list in the config', pyproject({ config: { a: { b: [1n] } } }), 'config.a.b'],
    ['a date in the config', pyproject({ config: { a: new Date(0) } }), 'config.a'],
    ['a config that is no table', pyproject({ config: 3n }), 'must be a table'],
  ])('is refused with %s', (_what, bad, text) => {
    expect(() => readPyproject(bad)).toThrow(refusal('APP_MALFORMED', text));
  });
});
