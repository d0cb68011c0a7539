import { createHash } from 'node:crypto';
import { type Random, randomFrom } from '@aegis/service-kit';

/** The same seed, the same sequence: SHA-256 in counter mode. For tests only. */
export const seededRandom = (seed: number | string): Random => {
  let counter = 0;
  let left = Buffer.alloc(0);
  const bytes = (n: number): Buffer => {
    while (left.length < n) left = Buffer.concat([left, createHash('sha256').update(`${seed}/${counter++}`).digest()]);
    const taken = Buffer.from(left.subarray(0, n));
    left = left.subarray(n);
    return taken;
  };
  // 48 bits against bounds of list sizes: the bias is far below what a test can see.
  return randomFrom(bytes, (bound) => bytes(6).readUIntLE(0, 6) % bound);
};
