import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { fab, legacyApp, manifestOf, zip } from '../testing/bundles.ts';
import { unpackBundle } from './unpack-bundle.ts';

const refusal = (text: string, code = 'APP_MALFORMED') =>
  expect.objectContaining({ code, message: expect.stringContaining(text) });
const pyproject = {
  name: 'pyproject.toml',
  content:
    '[project]\nname="a"\nversion="1"\n[tool.flwr.app]\npublisher="p"\n[tool.flwr.app.components]\nserverapp="s:a"\nclientapp="c:app"\n',
};

describe('unpacking a bundle', () => {
  it('gives hash, digest, dialect, facts and files', async () => {
    const bundle = await unpackBundle(fab({ config: 'lr = 0.5\nepochs = 2', source: legacyApp }));
    expect(bundle.facts).toMatchObject({ appId: 'aegis/tiny', version: '1.2.3' });
    expect([...bundle.facts.config.values()]).toEqual([
      { kind: 'real', value: 0.5 },
      { kind: 'integer', value: 2n },
    ]);
    expect(bundle.detectedDialect).toBe('legacy');
    expect([...bundle.files.keys()]).toContain('tiny/client_app.py');
    expect(bundle.hash).toMatch(/^[0-9a-f]{64}$/);
  });

  it.each([
    ['is no ZIP file', Buffer.from('hello'), 'cannot be read'],
    ['is cut short', fab().subarray(0, 700), 'cannot be read'],
    ['is empty', Buffer.alloc(0), 'empty'],
    ['has no manifest', zip([pyproject]), '.info/CONTENT'],
    [
      'has no pyproject.toml',
      zip([{ name: 'a.py', content: '' }, manifestOf([{ name: 'a.py', content: '' }])]),
      'pyproject.toml',
    ],
    [
      'has a pyproject.toml that is not TOML',
      zip([{ name: 'pyproject.toml', content: '[' }, manifestOf([])]),
      'pyproject.toml: ',
    ],
    ['lacks the clientapp it names', zip([pyproject, manifestOf([pyproject])]), 'no c.py'],
    ['has a link', fab({ extra: [{ name: 'link', content: '/etc/passwd', mode: 0o120777 }] }), 'symbolic link'],
    ['reaches outside', fab({ extra: [{ name: '../evil.py', content: 'x' }] }), '../evil.py'],
    ['has an absolute path', fab({ extra: [{ name: '/evil.py', content: 'x' }] }), '/evil.py'],
    ['has a backslash', fab({ extra: [{ name: 'a\\b.py', content: 'x' }] }), 'cannot be read'],
    ['has a file twice', fab({ extra: [{ name: 'tiny/__init__.py', content: '' }] }), 'twice'],
    [
      'has a file that nobody listed',
      zip([
        pyproject,
        { name: 'c.py', content: '' },
        { name: 'x.py', content: '' },
        manifestOf([pyproject, { name: 'c.py', content: '' }]),
      ]),
      '"x.py" is not listed',
    ],
    [
      'has a file that was changed',
      zip([pyproject, { name: 'c.py', content: 'evil' }, manifestOf([pyproject, { name: 'c.py', content: 'good' }])]),
      '"c.py" does not have the SHA-256',
    ],
  ])('refuses what %s', async (_what, bytes, text) => {
    await expect(unpackBundle(bytes)).rejects.toThrow(refusal(text));
  });

  it('refuses more than 10 MiB by its size', async () => {
    await expect(unpackBundle(Buffer.alloc(10 * 2 ** 20 + 1))).rejects.toThrow(refusal('10485761', 'APP_TOO_LARGE'));
  });

  it('refuses a bomb before unpacking it', async () => {
    await expect(unpackBundle(deflated('bomb', Buffer.alloc(50 * 2 ** 20)))).rejects.toThrow(refusal('200-fold'));
  });

  it('refuses an entry that unpacks to more than it says', async () => {
    await expect(unpackBundle(deflated('liar', Buffer.alloc(3 * 2 ** 20), 100))).rejects.toThrow(
      refusal('cannot be read'),
    );
  });
});

/** One deflated entry, its unpacked size as said. */
function deflated(name: string, content: Buffer, said = content.length): Buffer {
  const packed = deflateRawSync(content);
  const bytes = zip([{ name, content: packed }]);
  const local = 4;
  const central = bytes.indexOf('PK\x01\x02', 0, 'latin1') + 6;
  for (const at of [local, central]) {
    bytes.writeUInt16LE(8, at + 4);
    bytes.writeUInt32LE(said, at + 18);
  }
  return bytes;
}
