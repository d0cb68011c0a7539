import { describe, expect, it } from 'vitest';
import { settings } from '../../testing/flower-round.ts';
import { type Amount, neighboursOf, termsFor } from './terms.ts';

const ring = (size: number): bigint[] => Array.from({ length: size }, (_, at) => BigInt(at + 1));
const terms = (size: number, shares: Amount, threshold: Amount) => termsFor(settings(shares, threshold), ring(size));
const numbers = (size: number, shares: Amount, threshold: Amount = { count: 2 }) => {
  const { shares: count, threshold: least } = terms(size, shares, threshold);
  return [count, least];
};
const refusal = (words: RegExp) =>
  expect.objectContaining({ code: 'SECAGG_TOO_FEW', message: expect.stringMatching(words) });

describe('the terms of a compatible round', () => {
  it.each([
    // what Flower makes of its settings
    [4, { count: 4 }, { count: 3 }, [4, 3]],
    [4, { count: 1 }, { count: 1 }, [4, 4]],
    [5, { count: 3 }, { count: 2 }, [3, 2]],
    [10, { fraction: 0.5 }, { fraction: 0.5 }, [5, 2]],
    [10, { fraction: 0.6 }, { fraction: 0.5 }, [7, 4]],
    [10, { fraction: 0.25 }, { fraction: 0.5 }, [3, 2]],
    [3, { fraction: 0.5 }, { fraction: 1 }, [3, 3]],
    [2, { fraction: 1 }, { fraction: 0.1 }, [2, 2]],
    // halves are rounded to even: 4.5 to 4, and up to be odd; 2.5 to 2
    [9, { fraction: 0.5 }, { fraction: 0.5 }, [5, 2]],
    [9, { count: 9 }, { fraction: 0.5 }, [9, 4]],
    // an even number below the cohort would have one side of the ring shorter
    [9, { count: 6 }, { count: 4 }, [7, 4]],
    [3, { count: 8 }, { count: 3 }, [9, 3]],
  ] as const)('%i nodes, shares %o, threshold %o: %o', (size, shares, threshold, expected) => {
    expect(numbers(size, shares, threshold)).toEqual(expected);
  });

  it('are refused for what cannot be summed, with the arithmetic', () => {
    const refused = (size: number, threshold: Amount) => () => terms(size, { fraction: 1 }, threshold);
    expect(refused(0, { count: 2 })).toThrow(refusal(/no nodes; a sum needs two/));
    expect(refused(1, { count: 2 })).toThrow(refusal(/one node; a sum needs two/));
    expect(refused(3, { count: 4 })).toThrow(refusal(/needs 4 shares, but only 3 nodes/));
    expect(() => terms(9, { count: 3 }, { count: 4 })).toThrow(refusal(/needs 4 shares, but only 3 nodes/));
    expect(refused(1024, { count: 2 })).toThrow(refusal(/1024 nodes × .* 4194304 .* 4294967296/));
    expect(refused(1023, { count: 2 })).not.toThrow();
  });

  it('never let one share open a secret', () => {
    for (const fraction of [0.01, 0.2, 0.5]) expect(numbers(5, { fraction: 1 }, { fraction })[1]).toBeGreaterThan(1);
    expect(numbers(5, { fraction: 1 }, { count: 0 })[1]).toBe(2);
  });

  it.each([2, 3, 4, 5, 8, 9, 20])('have neighbours both ways, each with itself, in a cohort of %i', (size) => {
    for (let count = 3; count <= size + 2; count += 1) {
      const made = terms(size, { count }, { count: 2 });
      const neighbours = neighboursOf(made);
      expect([...neighbours.keys()]).toEqual(made.ring);
      for (const [node, near] of neighbours) {
        expect(near.has(node)).toBe(true);
        // no more than there are shares: Flower fails nodes that have one neighbour more
        expect(near.size).toBe(Math.min(size, made.shares));
        for (const peer of near) expect(neighbours.get(peer)?.has(node)).toBe(true);
      }
    }
  });

  it('take neighbours from the order of the ring', () => {
    const made = termsFor(settings({ count: 3 }, { count: 2 }), [7n, 2n, 9n, 4n, 1n]);
    expect([...(neighboursOf(made).get(7n) ?? [])]).toEqual([1n, 7n, 2n]);
    expect([...(neighboursOf(made).get(9n) ?? [])]).toEqual([2n, 9n, 4n]);
  });
});
