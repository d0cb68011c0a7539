import { describe, expect, it } from 'vitest';
import { sampleSize, smallestCohort, suits } from './cohort.ts';

const sampling = (fraction: number, minNodes: number, minAvailable: number, overSelect = 1) => ({
  fraction,
  minNodes,
  minAvailable,
  overSelect,
});

describe('work for a kind of node', () => {
  it.each([
    // kind, task, run lets in guests → may take it
    [undefined, 'train', false, true],
    [undefined, 'initial-model', false, true],
    ['native', 'train', false, true],
    ['native', 'evaluate', false, true],
    ['native', 'initial-model', true, false],
    ['join', 'train', false, false],
    ['join', 'evaluate', true, true],
    ['join', 'initial-model', true, true],
  ] as const)('%s, %s, join = %s: %s', (kind, task, join, may) => {
    expect(suits(kind, { firstModel: task === 'initial-model', join })).toBe(may);
  });
});

describe("Flower's sampling", () => {
  it.each([
    // online, fraction, min nodes, min available, over-select → size
    [5, 1, 2, 2, 1, 5],
    [5, 0.5, 2, 2, 1, 2],
    [9, 0.5, 2, 2, 1, 4],
    [10, 0.00001, 3, 2, 1, 3],
    [10, 0, 2, 2, 1, 2],
    [10, 0.5, 2, 2, 1.3, 7],
    [10, 1, 2, 2, 2, 10],
    [3, 0.4, 0, 2, 1, 1],
    [2, 0.4, 0, 2, 1, 0],
  ])(
    'of %i nodes × %f (at least %i, available %i, over-select %f) takes %i',
    (online, fraction, minNodes, minAvailable, over, size) => {
      expect(sampleSize(online, sampling(fraction, minNodes, minAvailable, over))).toMatchObject({
        kind: 'draw',
        size,
      });
    },
  );

  it.each([
    [1, 1, 2, 2, 2],
    [3, 0.1, 2, 5, 5],
    [3, 0.1, 4, 2, 4],
    [0, 1, 0, 0, 1],
  ])(
    'waits with %i nodes (fraction %f, at least %i, available %i) for %i',
    (online, fraction, minNodes, minAvailable, needed) => {
      expect(sampleSize(online, sampling(fraction, minNodes, minAvailable))).toEqual({ kind: 'wait', needed });
    },
  );

  it('can end as small as its minima', () => {
    expect(smallestCohort(sampling(0.5, 2, 5, 1.5))).toEqual({ online: 5, wanted: 2, size: 3 });
    expect(smallestCohort(sampling(0.2, 0, 2))).toMatchObject({ size: 0 });
  });
});
