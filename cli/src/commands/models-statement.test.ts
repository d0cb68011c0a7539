import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { checked } from './models-statement.ts';

describe('a privacy statement', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const payloadType = 'application/vnd.aegis.privacy-statement+json';
  const payload = Buffer.from(JSON.stringify({ run: '7', guarantee: { epsilon: 1 } }));
  const signed = Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} ${payload.toString()}`);
  const statement = {
    payloadType,
    payload,
    signature: sign(null, signed, privateKey),
    keyId: 'k',
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };

  it('is shown when its signature fits', () => {
    expect(checked(statement)).toEqual({ run: '7', guarantee: { epsilon: 1 } });
  });

  it.each([
    ['payload', { payload: Buffer.from(payload.toString().replace('1', '0')) }],
    ['type', { payloadType: `${payloadType}2` }],
    ['signature', { signature: Buffer.alloc(64) }],
  ])('is not when its %s was changed', (_what, change) => {
    expect(() => checked({ ...statement, ...change })).toThrow(/signature does not fit/);
  });
});
