import { describe, expect, it } from 'vitest';
import { contributionsIn, isExactMean, knownWeight } from './known-update.ts';

/** The mean of updates as a server would compute it, in plain arithmetic. */
function identityOf(nodes: number, round: number, updates: { partition: number; attempt: number }[]): Float32Array {
  const mean = new Float32Array(2 * nodes);
  for (const { partition, attempt } of updates) {
    mean[partition] = (mean[partition] as number) + 1 / updates.length;
    mean[nodes + partition] = (mean[nodes + partition] as number) + (1_024 * round + attempt) / updates.length;
  }
  return mean;
}

describe('the updates in a model', () => {
  it('are read with their attempts, also when a node is missing', () => {
    const all = [
      { partition: 0, attempt: 1 },
      { partition: 1, attempt: 3 },
      { partition: 3, attempt: 2 },
    ];
    expect(contributionsIn(identityOf(4, 7, all), 7)).toEqual(all.map((one) => ({ ...one, count: 1 })));
  });

  it('show when one was counted twice', () => {
    const twice = [0, 1, 1, 2].map((partition) => ({ partition, attempt: 1 }));
    expect(contributionsIn(identityOf(3, 2, twice), 2).map(({ count }) => count)).toEqual([1, 2, 1]);
  });
});

describe('the exact mean', () => {
  const mean = (partitions: number[]) =>
    Float32Array.from({ length: 500 }, (_, index) => {
      const sum = partitions.reduce((total, partition) => total + knownWeight(index, partition, 3), 0);
      return sum / partitions.length;
    });

  it('is recognised', () => {
    expect(isExactMean(mean([0, 1, 2]), [0, 1, 2], 3)).toBe(true);
  });

  it('is not one with another update in it, nor one with a single bit changed', () => {
    expect(isExactMean(mean([0, 1]), [0, 1, 2], 3)).toBe(false);
    const changed = mean([0, 1, 2]);
    new Uint8Array(changed.buffer)[400] = (new Uint8Array(changed.buffer)[400] as number) ^ 1;
    expect(isExactMean(changed, [0, 1, 2], 3)).toBe(false);
  });
});
