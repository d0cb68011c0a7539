import { createPublicKey, verify } from 'node:crypto';
import { expect, it } from 'vitest';
import { Signer } from './signer.ts';

it('every credential of a bench node is genuine, and none is like another', async () => {
  for (let key = 0; key < 3; key += 1) {
    const signer = await Signer.create();
    const publicKey = createPublicKey(signer.publicKeyPem);
    const made = Array.from({ length: 400 }, () => signer.credential());
    for (const { timestamp, signature } of made)
      expect(verify('sha256', Buffer.from(timestamp), publicKey, signature)).toBe(true);
    expect(new Set(made.map(({ timestamp }) => timestamp)).size).toBe(made.length);
  }
});
