import { createHash, type KeyObject, sign } from 'node:crypto';

/** Flower's signature of a bundle: Ed25519 over `uint64_be(signed_at)` and the SHA-256 of the bundle's bytes. `signedAt` in Unix seconds. */
export function signApp(fab: Buffer, key: KeyObject, signedAt: number): { appHash: string; verification: string } {
  const digest = createHash('sha256').update(fab).digest();
  const message = Buffer.alloc(8 + digest.length);
  message.writeBigUInt64BE(BigInt(signedAt));
  digest.copy(message, 8);
  const signature = sign(null, message, key).toString('base64url');
  return { appHash: digest.toString('hex'), verification: JSON.stringify({ signed_at: signedAt, signature }) };
}
