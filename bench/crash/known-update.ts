// What a node of app/crash_app sends in a round is known here without asking it.

/** A node's identity number in a round is this × the round + the attempt. */
const ROUND_FACTOR = 1_024;
/** Knuth's multiplicative hash; the app computes the same in numpy. */
const MIX = 2_654_435_761;

/** One float32 weight of the update of a node in a round. */
export function knownWeight(index: number, partition: number, round: number): number {
  const mixed = Math.imul(index + 40_503 * partition + 69_069 * round, MIX) >>> 0;
  return Math.fround(((mixed >>> 8) % 2_001) / 1_000 - 1);
}

export interface Contribution {
  partition: number;
  /** How often it is in the model. */
  count: number;
  /** Which execution of the task it came from; NaN if more than one is in. */
  attempt: number;
}

/** Reads from the model after a round which updates are in it. All weigh the same. */
export function contributionsIn(identity: Float32Array, round: number): Contribution[] {
  const nodes = identity.length / 2;
  const shares = [...identity.subarray(0, nodes)];
  const single = Math.min(...shares.filter((share) => share > 0));
  return shares.flatMap((share, partition) => {
    if (share <= 0) return [];
    const count = Math.round(share / single);
    const number = (identity[nodes + partition] as number) / single;
    return [{ partition, count, attempt: count === 1 ? Math.round(number) - ROUND_FACTOR * round : Number.NaN }];
  });
}

/** True if every weight is, to the bit, the mean of the updates of these nodes. */
export function isExactMean(weights: Float32Array, partitions: number[], round: number): boolean {
  return weights.every((weight, index) => {
    let sum = 0;
    for (const partition of partitions) sum += knownWeight(index, partition, round);
    return Object.is(weight, Math.fround(sum / partitions.length)) || (weight === 0 && sum === 0);
  });
}
