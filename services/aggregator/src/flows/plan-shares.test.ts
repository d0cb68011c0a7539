// What a masked private run is charged as: the figures of a table that no code of ours made.
import { readFileSync } from 'node:fs';
import { epsilonOf, type PrivacyEvent } from '@aegis/core-native';
import { describe, expect, it } from 'vitest';
import type { ModelInfo } from '../domain/model.ts';
import type { Plan } from '../domain/plan.ts';
import type { PrivacyPlan } from '../domain/privacy-plan.ts';
import { plannedEvent, survivorsEvent } from '../domain/private-round.ts';
import type { SecaggPlan } from '../domain/secagg-plan.ts';
import { planShares } from './plan-shares.ts';

interface Row {
  readonly n: number;
  readonly local_sigma_int: number;
  readonly scale: number;
  readonly clip: number;
  readonly dim: number;
  readonly steps: number;
  readonly delta: number;
  readonly rounded_l1: number;
  readonly rounded_l2: number;
  readonly ddgauss_eps: number;
}

const path = new URL('../../../../tests/vectors/privacy/golden-public.json', import.meta.url);
const { rows, rows_realistic: realistic } = JSON.parse(readFileSync(path, 'utf8')).distributed_dp;
/** A cohort has two nodes at least, and a share four steps. */
const table: Row[] = [...rows, ...realistic].filter((row: Row) => row.n > 1 && row.local_sigma_int >= 4);
const HALF_RANGE = 2 ** 23 - 1;

/** A run whose every node is honest and stays, on a grid with `scale` steps to 1. */
const planned = (
  { n, scale, clip, dim }: Pick<Row, 'n' | 'scale' | 'clip' | 'dim'>,
  noiseMultiplier: number | null,
) => {
  const secagg: SecaggPlan = {
    ...{ mode: 'aegis', onlyIn: [], dropouts: 0, colluders: 0, stageSeconds: 30 },
    grid: {
      ...{ clip: HALF_RANGE / scale, ownClips: [], metrics: [], valueBits: 24 },
      ...{ weightMax: 1, maxExamples: 0, normClip: clip },
    },
  };
  const plan = { train: { fraction: 1, minNodes: n, minAvailable: n, overSelect: 1 } } as Plan;
  const privacy = { unit: 'node', sampling: { kind: 'none' }, clip, noiseMultiplier } as PrivacyPlan;
  const model = { tensors: [{ name: 'w', dtype: '<f4', shape: [dim] }] } as unknown as ModelInfo;
  return planShares(plan, secagg, privacy, model, async () => 1);
};
const costs = async (event: string, delta: number): Promise<number> =>
  (await epsilonOf([JSON.parse(event) as PrivacyEvent], delta)).epsilon;

describe('the shares of a masked private run', () => {
  it('are in the table', () => expect(table.length).toBeGreaterThan(8));

  it.each(table)('of $n nodes with σ $local_sigma_int on $dim elements cost what the table says', async (row) => {
    const noise = (Math.sqrt(row.n) * row.local_sigma_int) / row.rounded_l2;
    const { secagg, privacy } = await planned(row, noise * (1 - 1e-9));
    expect(secagg.noise).toMatchObject({ parties: row.n, localSigma: row.local_sigma_int, dimension: row.dim });
    expect((secagg.noise?.l2 ?? 0) / row.rounded_l2).toBeCloseTo(1, 9);
    expect((secagg.noise?.l1 ?? 0) / row.rounded_l1).toBeCloseTo(1, 9);
    const epsilon = await costs(plannedEvent({ privacy, secagg, rounds: row.steps }, row.steps), row.delta);
    expect(epsilon).toBeLessThanOrEqual(row.ddgauss_eps * 1.0005);
    // the table looks at whole orders alone, which misses the best where that is below 2
    if (row.ddgauss_eps < 10) expect(epsilon).toBeGreaterThan(row.ddgauss_eps * 0.98);
  });

  it('never claim more nodes than are honest and there, nor fewer than were paid for', async () => {
    const { secagg, privacy } = await planned({ n: 8, scale: 1e4, clip: 1, dim: 100 }, 1);
    const noise = secagg.noise ?? expect.fail('it was planned');
    const multiplier = privacy.noiseMultiplier ?? 0;
    const event = (honest: number) =>
      JSON.parse(survivorsEvent(noise, { unit: 'node', noiseMultiplier: multiplier }, honest));
    expect(event(3)).toEqual(JSON.parse(plannedEvent({ privacy, secagg, rounds: 1 }, 1)));
    expect(event(8)).toEqual(event(3));
    expect(event(32)).toMatchObject({ parties: 32 });
    expect(event(32)['noise-multiplier']).toBeLessThan(2 * multiplier);
    expect(event(32)['noise-multiplier'] / multiplier).toBeCloseTo(2, 9);
    const prices = await Promise.all([8, 16, 32].map((honest) => costs(JSON.stringify(event(honest)), 1e-5)));
    expect(prices.toSorted((a, b) => b - a)).toEqual(prices);
  });

  it('are asked for once the ledger has said how much noise it takes', async () => {
    const { privacy, note } = await planned({ n: 8, scale: 1e4, clip: 1, dim: 100 }, null);
    expect(privacy.noiseMultiplier).toBeGreaterThanOrEqual(1);
    expect(privacy.noiseMultiplier).toBeLessThan(1.0001);
    expect(note).toMatch(/shares of 8 honest nodes, the 8 in a sum of 8 less 0/);
  });

  it('are refused with their arithmetic where nobody honest is sure to be left', async () => {
    const { secagg, privacy } = await planned({ n: 8, scale: 1e4, clip: 1, dim: 100 }, 1);
    const { noise: _noise, ...open } = secagg;
    const plan = { train: { fraction: 1, minNodes: 3, minAvailable: 3, overSelect: 1 } } as Plan;
    const model = { tensors: [{ name: 'w', dtype: '<f4', shape: [9] }] } as unknown as ModelInfo;
    const risky = planShares(plan, { ...open, dropouts: 0, colluders: 0.9 }, privacy, model, async () => 1);
    await expect(risky).rejects.toThrow(/shareholders|nobody's noise/);
  });
});
