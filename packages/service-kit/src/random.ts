import { randomBytes, randomInt } from 'node:crypto';

/** The only source of randomness in the suite; tests pass a SeededRandom. */
export interface Random {
  bytes(n: number): Buffer;
  /** Uniform over the full 64-bit range, never 0. */
  uint64(): bigint;
  /** 26 characters, sortable by `now` (Unix ms), strictly increasing for calls on the same Random. */
  ulid(now: number): string;
  /** A new, uniformly shuffled list. */
  shuffle<T>(list: readonly T[]): T[];
}

const crockford = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const randomBits = 80n;
const ulidOf = (value: bigint): string => {
  let text = '';
  for (let shift = 125n; shift >= 0n; shift -= 5n) text += crockford[Number((value >> shift) & 31n)];
  return text;
};

/** Builds a Random on a source of bytes and of integers below a bound. */
export const randomFrom = (bytes: (n: number) => Buffer, below: (bound: number) => number): Random => {
  let last = 0n;
  return {
    bytes,
    uint64: () => {
      for (;;) {
        const value = bytes(8).readBigUInt64LE();
        if (value !== 0n) return value;
      }
    },
    ulid: (now) => {
      const fresh = (BigInt(Math.floor(now)) << randomBits) | BigInt(`0x${bytes(10).toString('hex')}`);
      // Within a millisecond, or after the clock stepped back, count on from the last one.
      last = fresh > last ? fresh : last + 1n;
      return ulidOf(last);
    },
    shuffle: (list) => {
      const shuffled = [...list];
      for (let i = shuffled.length - 1; i > 0; i -= 1) {
        const j = below(i + 1);
        const taken = shuffled[i] as (typeof shuffled)[number];
        shuffled[i] = shuffled[j] as (typeof shuffled)[number];
        shuffled[j] = taken;
      }
      return shuffled;
    },
  };
};

/** The operating system's CSPRNG. */
export const systemRandom: Random = randomFrom(randomBytes, (bound) => randomInt(bound));
