import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { signApp } from './app-signature.ts';
import { ed25519Line, readEd25519 } from './ed25519-private-key.ts';

// Written by `ssh-keygen -t ed25519` 9.2 (a throw-away key, used nowhere).
const written = {
  key: `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACDEBwHPYTKrMqI+uF2xmOvCeqAmVlg4WlzehUvEVUVriQAAAIhuBmUxbgZl
MQAAAAtzc2gtZWQyNTUxOQAAACDEBwHPYTKrMqI+uF2xmOvCeqAmVlg4WlzehUvEVUVriQ
AAAEBZjP85tMB3s9ol0o/I6rYHlNVCdXvfb9D86oyCW5TfXsQHAc9hMqsyoj64XbGY68J6
oCZWWDhaXN6FS8RVRWuJAAAABWJvYXJk
-----END OPENSSH PRIVATE KEY-----
`,
  line: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMQHAc9hMqsyoj64XbGY68J6oCZWWDhaXN6FS8RVRWuJ',
};

describe('a key that signs apps', () => {
  it('is read as ssh-keygen writes it, and its public half is the line beside it', () => {
    expect(ed25519Line(readEd25519(written.key))).toBe(written.line);
  });

  it('signs the time and the hash of the bundle, as Flower verifies it', () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const key = readEd25519(String(privateKey.export({ type: 'pkcs8', format: 'pem' })));
    const { appHash, verification } = signApp(Buffer.from('PK'), key, 1_800_000_000);
    const { signed_at: at, signature } = JSON.parse(verification);
    const message = Buffer.concat([Buffer.from('000000006b49d200', 'hex'), Buffer.from(appHash, 'hex')]);
    expect(at).toBe(1_800_000_000);
    expect(verify(null, message, createPublicKey(key), Buffer.from(signature, 'base64url'))).toBe(true);
  });

  it.each([
    [
      'another kind of key',
      String(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' })),
    ],
    ['protected by a passphrase', '-----BEGIN ENCRYPTED PRIVATE KEY-----'],
    ['something that is no key', 'hello'],
    ['half a file', '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA'],
  ])('cannot be %s', (_name, text) => {
    expect(() => readEd25519(text)).toThrow(expect.objectContaining({ code: 'SIGNING_KEY_FILE' }));
  });
});
