import { writeNpy } from '../../services/aggregator/src/store/memory/npy.ts';
import type { Update } from './records.ts';

/**
 * The weighted mean of some updates, worked out by this suite for itself: the bytes a model's tensor must have. The nodes' values
 * and weights are few and short, so that their sums are exact, whatever the order.
 */
export function meanOf(updates: readonly Update[], name: string, shape: readonly number[]): Buffer {
  let total = 0;
  const sums: number[] = [];
  for (const { arrays, weight } of updates) {
    total += weight;
    for (const [at, value] of (arrays.get(name) ?? []).entries()) sums[at] = (sums[at] ?? 0) + value * weight;
  }
  return writeNpy({ descr: '<f4', shape, values: sums.map((sum) => Math.fround(sum / total)) });
}
