// What one call may cost. Stock clients stay far below; what is above is refused before it is held in memory.

const KiB = 1024;
const MiB = 1024 * KiB;

export const limits = {
  /** One object of a reply. Stock clients cut arrays at 5 MiB (20 MiB up to 1.22); records are never cut. */
  object: 64 * MiB,
  /** The part of a request around its one big field. */
  head: 64 * KiB,
  /** push-messages: a tree of the allowed size with 64-character ids fits. */
  announcement: 24 * MiB,
  /** start-run: Flower's own bound for an app is 10 MiB; a larger one still arrives to be refused with the reason. */
  startRun: 16 * MiB,
  startRunHead: 1 * MiB,
  treeNodes: 200_000,
  treeDepth: 8,
  /** Records and other small objects are read whole into memory up to this size. */
  structure: 16 * MiB,
  /** A MetricRecord or ConfigRecord that is decoded: a byte of it can become a number of sixteen. */
  record: 2 * MiB,
  /** Slices of all tensors of one reply: a chunk may be used more than once. At stock chunk sizes a terabyte. */
  slices: 200_000,
  /** Children of one object. */
  children: 200_000,
  metrics: 10_000,
  /** A request body that brings no byte for so long is given up. */
  bodyIdleMs: 30_000,
  /** After its first minute a body has brought so many bytes for each second: GPRS brings twice as much. */
  bodyPace: 4 * KiB,
  bodyPatienceMs: 60_000,
  /** What a refused client still sends is read and thrown away for so long, and so much of it: the largest body there is. */
  discardMs: 30_000,
  discard: 64 * MiB + 64 * KiB,
  /** Of callers who were not let in: the largest object of a stock client fits. */
  discardOfStrangers: 21 * MiB,
  /** Of callers who call too often. */
  discardOfMany: 256 * KiB,
} as const;
