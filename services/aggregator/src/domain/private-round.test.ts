import { describe, expect, it } from 'vitest';
import { poissonCohort } from './cohort.ts';
import type { PrivacyPlan } from './privacy-plan.ts';
import {
  chargedNodes,
  clipBitOf,
  eventOf,
  hidesCohort,
  inTheClear,
  nextClip,
  reservationKey,
  splitNoise,
  standingBack,
  unitKeys,
} from './private-round.ts';
import { flag, integer, real } from './scalar.ts';

const none = { kind: 'none' } as const;
const poisson = { kind: 'poisson', rate: 0.1 } as const;
const fixed = { kind: 'fixed', size: 5, population: 50 } as const;
const plan: PrivacyPlan = {
  unit: 'node',
  epsilon: 1,
  delta: 1e-5,
  dataset: 'default',
  sampling: none,
  clip: 1,
  clipMax: 4,
  adaptive: { quantile: 0.5, rate: 0.2 },
  noiseMultiplier: 1,
  weightMax: null,
  denominator: null,
};

describe('the event of a round', () => {
  it('claims for each sampling the relation that it protects', () => {
    expect(JSON.parse(eventOf({ unit: 'node', sampling: none, noiseMultiplier: 1.5 }, 3))).toEqual({
      mechanism: 'discrete-gaussian',
      'grid-sigma': 1048576,
      'noise-multiplier': 1.5,
      sampling: { kind: 'none' },
      relation: 'zero-out',
      count: 3,
      unit: 'node',
    });
    expect(JSON.parse(eventOf({ unit: 'user', sampling: poisson, noiseMultiplier: 1 }, 1))).toMatchObject({
      sampling: { kind: 'poisson', rate: 0.1 },
      relation: 'add-or-remove-one',
      unit: 'user',
    });
    expect(JSON.parse(eventOf({ unit: 'node', sampling: fixed, noiseMultiplier: 1 }, 1))).toMatchObject({
      sampling: { kind: 'without-replacement', rate: 0.1 },
      relation: 'replace-one',
    });
  });

  it('leaves the noise to the ledger where the plan does', () => {
    expect(JSON.parse(eventOf({ unit: 'node', sampling: none, noiseMultiplier: null }, 3))).not.toHaveProperty(
      'noise-multiplier',
    );
  });

  it('is asked of one node of each unit, the first in the order of preference', () => {
    const units = new Map([
      [1n, 'ada'],
      [2n, 'bob'],
      [3n, 'ada'],
      [4n, 'ada'],
    ]);
    expect([...standingBack([1n, 2n, 3n, 4n, 5n], units)]).toEqual([3n, 4n]);
    expect([...standingBack([4n, 3n, 1n], units)]).toEqual([3n, 1n]);
    expect([...standingBack([5n, 6n], units)]).toEqual([]);
  });

  it('is charged to everybody who could have been in a secret cohort, else to those who are', () => {
    expect(chargedNodes({ sampling: none }, [1n, 2n, 3n], [2n])).toEqual([2n]);
    expect(chargedNodes({ sampling: poisson }, [1n, 2n, 3n], [])).toEqual([1n, 2n, 3n]);
    expect(chargedNodes({ sampling: fixed }, [1n, 2n, 3n], [2n])).toEqual([1n, 2n, 3n]);
    expect([none, poisson, fixed].map((sampling) => hidesCohort({ sampling }))).toEqual([false, true, true]);
  });

  it('has one key for one attempt', () => {
    expect(reservationKey(7n, 2, 1)).toBe('7/2/1/train');
  });
});

describe('noise', () => {
  it('goes to the update alone while the clip stands', () => {
    expect(splitNoise({ noiseMultiplier: 1.25, adapts: false })).toEqual({ update: 1.25, bit: null });
  });

  it.each([0.3, 1, 17])('is shared with the clip bit so that both together are as private as %d', (z) => {
    const { update, bit } = splitNoise({ noiseMultiplier: z, adapts: true });
    // two Gaussians on one cohort: 1/z² = 1/zu² + 1/zb²
    expect((update ** -2 + (bit ?? 0) ** -2) ** -0.5).toBeCloseTo(z, 12);
    expect(update / z).toBeLessThan(1.006);
  });
});

describe('the clip', () => {
  it('grows when too many updates are clipped, shrinks when too few are, and stays within its bound', () => {
    expect(nextClip(plan, 1, 0, 10)).toBe(1);
    expect(nextClip(plan, 1, -10, 10)).toBeCloseTo(Math.exp(0.1));
    expect(nextClip(plan, 1, 10, 10)).toBeCloseTo(Math.exp(-0.1));
    expect(nextClip(plan, 3.9, -10, 10)).toBe(4);
  });

  it('takes noise beyond the possible for the nearest possible', () => {
    expect(nextClip(plan, 1, -1e9, 10)).toBe(nextClip(plan, 1, -10, 10));
    expect(nextClip(plan, 1, 1e9, 10)).toBe(nextClip(plan, 1, 10, 10));
  });

  it('does not move where it does not adapt', () => {
    expect(nextClip({ ...plan, adaptive: null }, 1, -10, 10)).toBe(1);
  });

  it('counts what a node says that it clipped itself', () => {
    const said = (value: Parameters<typeof clipBitOf>[1][number]['value']) => [{ key: 'norm_bit', value }];
    expect(clipBitOf(false, [])).toBe(1);
    expect(clipBitOf(true, [])).toBe(-1);
    expect(clipBitOf(false, said(integer(1)))).toBe(-1);
    expect(clipBitOf(false, said(flag(true)))).toBe(-1);
    expect(clipBitOf(false, said(integer(0)))).toBe(1);
    expect(clipBitOf(true, said(integer(0)))).toBe(-1);
    expect(clipBitOf(false, said(real(Number.NaN)))).toBe(1);
  });
});

describe('a Poisson cohort', () => {
  it('has each node by a coin of its own', () => {
    const coins = [0.05, 0.1, 0.0999, 0.9];
    expect(poissonCohort([1n, 2n, 3n, 4n], 0.1, () => coins.shift() ?? 1)).toEqual([1n, 3n]);
    expect(poissonCohort([1n, 2n], 0.1, () => 0.5)).toEqual([]);
  });
});

describe('what is not covered', () => {
  it('is named', () => {
    expect(inTheClear(true, none).map((line) => line.split(':')[0])).toEqual([
      'evaluate-metrics',
      'cohort',
      'presence',
    ]);
    expect(inTheClear(false, poisson).map((line) => line.split(':')[0])).toEqual(['presence']);
  });
});

it('names of units show with how many keys they were made', () => {
  expect([...unitKeys(['aa-1', 'aa-2'])]).toEqual(['aa']);
  expect(unitKeys(['aa-1', 'bb-1']).size).toBe(2);
});
