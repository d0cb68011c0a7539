import { createHash, type KeyObject, verify } from 'node:crypto';
import type { App } from '../domain/task.ts';

/**
 * The trusted entities whose signature of exactly this bundle holds, by Flower's rule: Ed25519 over `uint64_be(signed_at)` and the
 * SHA-256 of the bundle's bytes. What is malformed counts for nothing.
 */
export const appSigners = ({ fab, verifications }: App, trusted: ReadonlyMap<string, KeyObject>): string[] => {
  const digest = createHash('sha256').update(fab).digest();
  return [...trusted].filter(([id, key]) => holds(verifications[id], key, digest)).map(([id]) => id);
};

const holds = (text: string | undefined, key: KeyObject, digest: Buffer): boolean => {
  const signed = readSignature(text);
  if (signed === null) return false;
  const message = Buffer.alloc(8 + digest.byteLength);
  message.writeBigUInt64BE(BigInt(signed.signedAt));
  digest.copy(message, 8);
  return verify(null, message, key, signed.signature);
};

const readSignature = (text: string | undefined): { signedAt: number; signature: Buffer } | null => {
  if (text === undefined || text.length > 10_000) return null;
  try {
    const { signed_at: signedAt, signature } = JSON.parse(text);
    if (!Number.isSafeInteger(signedAt) || signedAt < 0 || typeof signature !== 'string') return null;
    return { signedAt, signature: Buffer.from(signature, 'base64url') };
  } catch {
    return null;
  }
};
