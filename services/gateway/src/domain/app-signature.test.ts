import { expect, it } from 'vitest';
import { checkAppSignature } from './app-signature.ts';

const hash = 'a'.repeat(64);
const good = JSON.stringify({ signed_at: 1_800_000_000, signature: 'c2ln' });

it('takes what Flower clients read as a signature', () => {
  expect(() => checkAppSignature(hash, 'board', good)).not.toThrow();
});

it.each([
  ['a hash that is none', 'a', 'board', good],
  ['no key id', hash, '', good],
  ['a key id of many lines', hash, 'a\nb', good],
  ["the entry that is Flower's own", hash, 'valid_license', good],
  ['what is no JSON', hash, 'board', '{'],
  ['a time that is none', hash, 'board', '{"signed_at": "now", "signature": "x"}'],
  ['no signature', hash, 'board', '{"signed_at": 1}'],
  ['null', hash, 'board', 'null'],
  ['more than a signature has', hash, 'board', JSON.stringify({ signed_at: 1, signature: 'x'.repeat(3_000) })],
])('refuses %s', (_name, appHash, keyId, verification) => {
  expect(() => checkAppSignature(appHash, keyId, verification)).toThrow(
    expect.objectContaining({ code: 'REQUEST_MALFORMED' }),
  );
});
