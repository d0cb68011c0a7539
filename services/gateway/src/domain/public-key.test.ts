import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parsePublicKey, toPem } from './public-key.ts';

const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).publicKey;
const spkiOf = (curve: string) => {
  const key = ec(curve);
  return {
    pem: key.export({ type: 'spki', format: 'pem' }).toString(),
    der: key.export({ type: 'spki', format: 'der' }),
  };
};
const openSsh = (der: Buffer, name: string, point: number): string => {
  const field = (bytes: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const blob = [`ecdsa-sha2-${name}`, name].map((text) => field(Buffer.from(text)));
  return `ecdsa-sha2-${name} ${Buffer.concat([...blob, field(der.subarray(-point))]).toString('base64')} me@site`;
};

describe('public key', () => {
  it.each(['prime256v1', 'secp384r1', 'secp521r1'])('reads PEM on %s and writes the very text back', (curve) => {
    const { pem, der } = spkiOf(curve);
    expect(parsePublicKey(pem)).toEqual(der);
    expect(toPem(der)).toBe(pem);
  });

  it.each([
    ['prime256v1', 'nistp256', 65],
    ['secp384r1', 'nistp384', 97],
    ['secp521r1', 'nistp521', 133],
  ])('reads an OpenSSH line on %s', (curve, name, point) => {
    const { der } = spkiOf(curve);
    expect(parsePublicKey(openSsh(der, name, point))).toEqual(der);
  });

  const { pem, der } = spkiOf('secp384r1');
  it.each([
    ['nothing', ''],
    ['some text', 'not a key'],
    ['a private key', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----'],
    ['another curve', spkiOf('secp256k1').pem],
    [
      'an RSA key',
      generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    ],
    ['an Ed25519 line', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHkAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'],
    ['a cut-off PEM', pem.replace(/.{20}\n-----END/, '\n-----END')],
    ['a cut-off line', openSsh(der, 'nistp384', 97).replace(/.{12} me@site/, '')],
    ['a compressed point', toPem(Buffer.concat([der.subarray(0, -97), Buffer.from([2]), der.subarray(-96)]))],
  ])('refuses %s', (_name, text) => {
    expect(() => parsePublicKey(text)).toThrow(expect.objectContaining({ code: 'NODE_KEY_INVALID' }));
  });
});
