import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { unpackBundle } from '../flows/unpack-bundle.ts';
import { canonicalApp, canonicalJson, counts } from './app-digest.ts';

interface Vectors {
  cases: { name: string; digest: string; fabs: Record<string, { sha256: string; fab: string }> }[];
}
const vectors = join(import.meta.dirname, '../../../../tests/vectors/app-digest.json');
const { cases } = JSON.parse(readFileSync(vectors, 'utf8')) as Vectors;

describe('the app digest', () => {
  const bundles = cases.flatMap(({ name, digest, fabs }) =>
    Object.entries(fabs).map(([release, { sha256, fab }]) => ({ name, release, digest, sha256, fab })),
  );
  it.each(bundles)(
    'of $name is the same in a bundle of flwr $release as in Python',
    async ({ digest, sha256, fab }) => {
      const bundle = await unpackBundle(Buffer.from(fab, 'base64'));
      expect([bundle.hash, bundle.digest]).toEqual([sha256, digest]);
    },
  );

  it('does not depend on the order of the files', () => {
    const files = ['b.py', 'a.py', 'Z.py', 'é.py', '\u{1f33b}.py', '\uffee.py'].map((path) => ({
      path,
      sha256: path,
      bytes: 1,
    }));
    expect(canonicalApp(files, 'x')).toBe(canonicalApp([...files].reverse(), 'x'));
    const order = canonicalApp(files, 'x')
      .split('\n')
      .map((line) => line.split('\0')[0]);
    expect(order).toEqual(['Z.py', 'a.py', 'b.py', 'é.py', '\uffee.py', '\u{1f33b}.py', 'pyproject', '']);
  });

  it.each([
    'LICENSE',
    'a/test_x.py',
    'x_test.py',
    'build/a.py',
    '.info/CONTENT',
    'a/__pycache__/b.py',
    'x.egg/y.py',
    'pyproject.toml',
    'a/',
  ])('leaves out %s', (path) => expect(counts(path)).toBe(false));
  it.each(['a.py', 'a/lib/b.py', 'a/LICENSE', 'a/pyproject.toml', 'testing.py', 'tests/data.json', 'build'])(
    'counts %s',
    (path) => expect(counts(path)).toBe(true),
  );
});

describe('canonical JSON', () => {
  it('is what Python writes', () => {
    const value = {
      a: 1,
      b: [1e-5, 0.0001, 1e16, 123456789012345680, 1e300, -2.5, -0, 0.1, 5e-324, 1e22, 0.00012345],
      é: 'Größe \u{1f33b} "q" \\ / \t\u007f\u0001',
      B: true,
      n: 9007199254740993n,
      '\u{1f33b}': 1n,
      '\uffff': 2n,
      inf: [Infinity, -Infinity, NaN],
      gone: undefined,
    };
    // printed by json.dumps(…, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    const python =
      '{"B":true,"a":1.0,"b":[1e-05,0.0001,1e+16,1.2345678901234568e+17,1e+300,-2.5,-0.0,0.1,5e-324,1e+22,0.00012345],' +
      '"inf":[Infinity,-Infinity,NaN],"n":9007199254740993,"\\u00e9":"Gr\\u00f6\\u00dfe \\ud83c\\udf3b \\"q\\" \\\\ / \\t\\u007f\\u0001",' +
      '"\\uffff":2,"\\ud83c\\udf3b":1}';
    expect(canonicalJson(value)).toBe(python);
  });
});
