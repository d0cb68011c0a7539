// The typed face: events in, answers and refusals out. The formulas are tested in Rust.
import { describe, expect, it } from 'vitest';
import {
  CoreError,
  checkEvents,
  deltaOf,
  epsilonOf,
  PrivacyAccountant,
  type PrivacyEvent,
  roundsFor,
  sigmaFor,
} from './index.ts';

const round: PrivacyEvent = {
  mechanism: 'gaussian',
  'noise-multiplier': 1,
  sampling: { kind: 'poisson', rate: 0.01 },
  relation: 'add-or-remove-one',
};

async function refusal(work: () => unknown): Promise<CoreError> {
  try {
    await work();
  } catch (error) {
    expect(error).toBeInstanceOf(CoreError);
    return error as CoreError;
  }
  throw new Error('it should have been refused');
}

describe('privacy accounting', () => {
  it('answers with epsilon, bracket and method', async () => {
    const quick = await epsilonOf([{ ...round, count: 1000 }], 1e-5, { effort: 'quick' });
    expect(quick).toMatchObject({ delta: 1e-5, method: 'rdp', order: expect.any(Number) });
    expect(quick.epsilon).toBeCloseTo(2.1013, 3);
    expect(quick.lower).toBeLessThanOrEqual(quick.epsilon);
    const tight = await epsilonOf([{ ...round, count: 1000 }], 1e-5);
    expect(tight.epsilon).toBeLessThanOrEqual(quick.epsilon);
  });

  it('takes the doubled sensitivity of replace-one upon itself', async () => {
    const unsampled = (noise: number, relation: PrivacyEvent['relation']) =>
      epsilonOf([{ mechanism: 'gaussian', 'noise-multiplier': noise, relation }], 1e-5);
    const replaced = await unsampled(2, 'replace-one');
    expect(replaced.epsilon).toBe((await unsampled(1, 'add-or-remove-one')).epsilon);
    expect(replaced).toMatchObject({ method: 'analytic-gaussian' });
  });

  it('amplifies Laplace and Skellam noise, but no tree', async () => {
    const skellam = { mechanism: 'skellam', 'grid-l1': 60, 'grid-l2': 10 } as const;
    for (const mechanism of [{ mechanism: 'laplace' } as const, skellam]) {
      const sampled: PrivacyEvent = { ...round, ...mechanism, count: 100 };
      const everybody: PrivacyEvent = { ...sampled, sampling: { kind: 'none' } };
      const cost = await epsilonOf([sampled], 1e-5);
      expect(cost.epsilon).toBeLessThan(0.1 * (await epsilonOf([everybody], 1e-5)).epsilon);
      const replaced: PrivacyEvent = {
        ...sampled,
        sampling: { kind: 'without-replacement', rate: 0.01 },
        relation: 'replace-one',
      };
      expect((await epsilonOf([replaced], 1e-5)).epsilon).toBeGreaterThan(cost.epsilon);
    }
    const tree: PrivacyEvent = { ...round, mechanism: 'tree', steps: 8, relation: 'zero-out' };
    expect(await refusal(() => epsilonOf([tree], 1e-5))).toMatchObject({ detail: { field: 'sampling' } });
  });

  it('goes from epsilon to delta, noise and rounds and back', async () => {
    const events = [{ ...round, count: 1000 }];
    const { epsilon } = await epsilonOf(events, 1e-5, { effort: 'quick' });
    const back = await deltaOf(events, epsilon, { effort: 'quick' });
    expect(back.delta / 1e-5).toBeCloseTo(1, 6);
    const { 'noise-multiplier': _, ...bare } = { ...round, count: 1000 };
    const found = await sigmaFor([bare], { epsilon, delta: 1e-5 }, { effort: 'quick' });
    expect(found.noiseMultiplier).toBeCloseTo(1, 6);
    expect(found.spent.epsilon).toBeLessThanOrEqual(epsilon);
    const rounds = await roundsFor([round], { epsilon, delta: 1e-5 }, { effort: 'quick' });
    expect(rounds.rounds).toBe(1000);
    expect(await roundsFor([round], { epsilon: 1e-6, delta: 1e-9 })).toEqual({ rounds: 0 });
  });

  it('keeps count round after round', async () => {
    const accountant = PrivacyAccountant.of();
    accountant.compose([round], 999);
    const fork = accountant.fork();
    accountant.compose([round]);
    const whole = await epsilonOf([{ ...round, count: 1000 }], 1e-5, { effort: 'quick' });
    expect(accountant.epsilon(1e-5).epsilon).toBeCloseTo(whole.epsilon, 6);
    expect(fork.epsilon(1e-5).epsilon).toBeLessThan(accountant.epsilon(1e-5).epsilon);
    expect(accountant.events()).toEqual([{ ...round, count: 1000, unit: 'node' }]);
    expect(PrivacyAccountant.of(accountant.events()).epsilon(1e-5).epsilon).toBeCloseTo(whole.epsilon, 6);
  });

  it('changes nothing when it refuses', async () => {
    const accountant = PrivacyAccountant.of([round]);
    const replacing: PrivacyEvent = { mechanism: 'gaussian', 'noise-multiplier': 1, relation: 'replace-one' };
    const refused = await refusal(() => accountant.compose([round, replacing]));
    expect(refused).toMatchObject({ code: 'PRIVACY_EVENT', detail: { field: 'relation' } });
    expect(accountant.events()).toEqual([{ ...round, count: 1, unit: 'node' }]);
  });

  it('names row and field of what it refuses', async () => {
    const bad = (change: object) => refusal(() => checkEvents([round, { ...round, ...change } as PrivacyEvent]));
    expect(await bad({ mechanism: 'magic' })).toMatchObject({
      code: 'PRIVACY_EVENT',
      detail: { row: '1', field: 'mechanism', got: 'magic' },
    });
    expect(await bad({ 'noise-multiplier': Number.NaN })).toMatchObject({ detail: { field: 'noise-multiplier' } });
    expect(await bad({ sampling: { kind: 'poisson', rate: 1.5 } })).toMatchObject({
      detail: { field: 'sampling.rate', got: '1.5' },
    });
    expect(await refusal(() => epsilonOf([round], 1))).toMatchObject({
      code: 'PRIVACY_PARAMETER',
      detail: { field: 'delta' },
    });
    expect(await refusal(() => epsilonOf([round], Number.NaN))).toMatchObject({ code: 'PRIVACY_PARAMETER' });
  });

  it('reads a file as it is written', async () => {
    const text = JSON.stringify([{ ...round, count: 10 }]);
    expect(checkEvents(text)).toEqual([{ ...round, count: 10, unit: 'node' }]);
    expect(await refusal(() => checkEvents(text.replace('10', '10.0')))).toMatchObject({ detail: { field: 'count' } });
    expect(await refusal(() => checkEvents(text.replace('{', '{"count":1,')))).toMatchObject({ code: 'PRIVACY_EVENT' });
  });
});
