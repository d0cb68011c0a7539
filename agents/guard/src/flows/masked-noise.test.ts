import { Grid } from '@aegis/core-native/secagg';
import { eventually } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MaskedGrid, Masking } from '../domain/masking.ts';
import type { Task } from '../domain/task.ts';
import { Federation } from '../testing/federation.ts';
import { MaskedGuard, maskedTask, realModel } from '../testing/masked-guard.ts';
import { MaskedServer } from '../testing/masked-server.ts';
import { deliverAnswer } from './deliver-answer.ts';
import { endRound } from './end-round.ts';
import { gridOptions } from './masked-grid.ts';
import { followRound } from './masked-round.ts';
import { takeOffer } from './take-offer.ts';

// Noise that nodes add under their masks: what a sum has of it, and what a server that wants less is told.

const ELEMENTS = 20_000;
const zeros = Array.from({ length: ELEMENTS }, () => 0);
const federation = await Federation.found();
const own = await federation.signing('ada');
const others = new Map(
  await Promise.all(
    ['1', '2', '3', '4'].map(async (node) => [node, await federation.signing(`peer-${node}`)] as const),
  ),
);
const model = await realModel({ w: zeros });
const specs = model.info.tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] }));

const GRID: MaskedGrid = {
  ...{ clip: 1, ownClips: {}, metrics: [], valueBits: 16, weightMax: 1, maxExamples: null, normClip: 0.5 },
  // five nodes, four of them at least in a sum, one of those may work with the server
  noiseSigma: Grid.create(specs, { clip: 1, valueBits: 16, weightMax: 1, normClip: 0.5 }).noiseShare(1, 3),
};
const OWNER = { floors: { cohort: 3, survivors: 3, colluders: 0.2 }, leastNoise: 1 };

const noised = (grid: Partial<MaskedGrid> = {}, terms: Partial<Masking> = {}): Task =>
  maskedTask(model, {}, { grid: { ...GRID, ...grid }, length: 5 + ELEMENTS, bits: 40, threshold: 4, ...terms });
const task = noised();

let server: MaskedServer;
let node: MaskedGuard;
beforeEach(async () => {
  server = new MaskedServer(others, model.bytes);
  server.peersGive = { tensors: [zeros], metrics: [] };
  node = await MaskedGuard.open(server, own, OWNER);
});
afterEach(() => node.remove());

const over = () => eventually(() => node.guard.journal.masked(task.taskId)?.over ?? false);
const lines = async (event: string) => (await node.audit()).filter((line) => line.event === event);
const offered = async (of: Task) => {
  server.open(of);
  await takeOffer(node.guard, of);
};

describe('a sum of updates that changed nothing', () => {
  // Each bound is missed with a probability of e^-21.5 at most; both together with less than 10^-9. Above: Laurent and Massart 2000, below:
  // Bernstein, as in the core's own tests.
  const CHANCE = 21.5;
  const most = ELEMENTS + 2 * Math.sqrt(ELEMENTS * CHANCE) + 2 * CHANCE;
  const least = ELEMENTS - Math.sqrt(6 * ELEMENTS * CHANCE);

  it.each<[string, string[], number]>([
    ['of everybody', [], 5],
    ['without a node that dropped out', ['2'], 4],
  ])('%s has the noise of exactly those who are in it', async (_name, dropping, survivors) => {
    server.dropping = dropping;
    await offered(task);
    await node.answer(task, { w: zeros }, [], 10);
    expect(await over()).toBe('done');
    const bytes = server.opened[0]?.tensor(0) ?? Buffer.alloc(0);
    const steps = (32_767 * survivors) / GRID.clip;
    let squares = 0;
    for (let at = 0; at < ELEMENTS; at += 1) squares += (bytes.readFloatLE(4 * at) * steps) ** 2;
    const seen = squares / (survivors * (GRID.noiseSigma ?? 0) ** 2);
    expect(seen).toBeGreaterThan(least);
    expect(seen).toBeLessThan(most);
    expect(await lines('answer-released')).toMatchObject([{ noiseSigma: GRID.noiseSigma }]);
  });

  it('is the same sum after the guard was killed with its vector written down: noise is drawn once', async () => {
    const reached = Promise.withResolvers<void>();
    server.before = (said) => {
      if (said !== 'mask') return;
      reached.resolve();
      return new Promise(() => {});
    };
    await offered(task);
    await node.answer(task, { w: zeros }, [], 10);
    await reached.promise;
    server.before = () => {};
    const [first] = server.submitted;
    node.end();
    await node.begin(server, own, OWNER);
    for (const { taskId } of node.guard.journal.unsettled()) void deliverAnswer(node.guard, taskId);
    for (const open of node.guard.journal.openRounds()) void followRound(node.guard, open.task.taskId);
    expect(await over()).toBe('done');
    expect(server.submitted.map(({ masked }) => masked)).toEqual([first?.masked]);
    expect(server.secondAnswers).toEqual([]);
  });
});

describe('a server that wants to see more', () => {
  const toldOtherwise = (grid: Partial<MaskedGrid>): Task => {
    const { masking } = task;
    if (masking === null) throw new Error('the task is masked');
    return { ...task, masking: { ...masking, grid: { ...masking.grid, ...grid } } };
  };

  it.each<[string, Task, string]>([
    ['less noise for all', noised({ noiseSigma: (GRID.noiseSigma ?? 0) * 0.99 }), 'NOISE_BELOW_FLOOR'],
    ['a finer grid with as many steps of noise', noised({ valueBits: 17 }), 'NOISE_BELOW_FLOOR'],
    ['a smaller range of values, so finer steps', noised({ clip: 0.5 }), 'NOISE_BELOW_FLOOR'],
    ['twice the clip', noised({ normClip: 1 }), 'NOISE_BELOW_FLOOR'],
    ['a sum of fewer nodes', noised({}, { minSurvivors: 3, threshold: 4 }), 'NOISE_BELOW_FLOOR'],
    ['a smaller cohort', noised({}, { cohort: 4, minSurvivors: 3, degree: 3, threshold: 3 }), 'NOISE_BELOW_FLOOR'],
    // √300 · 0.145 ÷ Δ₂ is above the floor, and the share is 0 nearly always
    [
      'shares below a step of a coarse grid',
      noised(
        { valueBits: 2, clip: 0.5, noiseSigma: 0.145 },
        { cohort: 330, minSurvivors: 300, degree: 329, threshold: 180 },
      ),
      'SECAGG_PARAMETERS',
    ],
    ['less noise than it told the others', toldOtherwise({ noiseSigma: 4 }), 'NOISE_BELOW_FLOOR'],
    ['more noise than it told the others', toldOtherwise({ noiseSigma: 1e5 }), 'TERMS_DIFFER'],
    ['a smaller clip than it told the others', toldOtherwise({ normClip: 1e-3 }), 'TERMS_DIFFER'],
    ['a modulus without room for the noise', noised({}, { bits: 19 }), 'TERMS_DIFFER'],
    ['a metric in the noised sum', noised({ metrics: [{ name: 'loss', low: 0, high: 10 }] }), 'SECAGG_PARAMETERS'],
    ['weights', noised({ weightMax: 2, maxExamples: 10 }), 'SECAGG_PARAMETERS'],
    ['noise without a clip', noised({ normClip: null }), 'SECAGG_PARAMETERS'],
  ])('%s: is refused, and nothing is said', async (_name, of, reason) => {
    await offered(of);
    await eventually(() => server.failed.length === 1);
    expect(server.failed[0]?.reason).toContain(reason);
    expect(await lines('round-refused')).toMatchObject([{ reason }]);
    expect([server.said, server.submitted]).toEqual([[], []]);
  });

  it('no noise at all: is refused by the policy', async () => {
    await offered(noised({ noiseSigma: null }));
    expect(await lines('offer-refused')).toMatchObject([{ rule: 'masking.noise-multiplier' }]);
    expect(server.said).toEqual([]);
  });

  it.each(['train', 'initial-model'] as const)('a %s in the clear: is refused by the policy', async (kind) => {
    node.end();
    await node.begin(server, own, { ...OWNER, requireMasking: false, kinds: ['train', 'initial-model'] });
    await offered({ ...task, kind, model: kind === 'train' ? task.model : null, masking: null });
    expect(await lines('offer-refused')).toMatchObject([{ rule: 'masking.noise-multiplier' }]);
    expect([server.said, server.submitted]).toEqual([[], []]);
  });

  it('as much as the owner asks for is taken, and a colluder more is not', async () => {
    node.end();
    await node.begin(server, own, { ...OWNER, floors: { ...OWNER.floors, colluders: 0.21 } });
    await offered(task);
    await eventually(() => server.failed.length === 1);
    expect(server.failed[0]?.reason).toContain('NOISE_BELOW_FLOOR');
    node.end();
    await node.begin(server, own, { ...OWNER, floors: { ...OWNER.floors, colluders: 0 }, leastNoise: 1.15 });
    const again = { ...noised(), taskId: '01AGAIN' };
    await offered(again);
    await eventually(() => server.said.some(({ taskId }) => taskId === '01AGAIN'));
  });

  describe('that asks for one sum more than the owner’s budget has room for', () => {
    // a sum of three honest nodes with a noise multiplier of 1 costs ε 5.09 here, two cost 7.09
    const BUDGET = { ...OWNER, noiseBudget: { epsilon: 7, delta: 1e-5 } };
    const nth = (at: number, grid: Partial<MaskedGrid> = {}): Task => ({
      ...noised(grid, { round: BigInt(100 + at) }),
      taskId: `01NEXT${at}`,
    });
    const refused = async (of: Task, reason: string) => {
      await offered(of);
      await eventually(() => server.failed.some(({ taskId }) => taskId === of.taskId));
      expect(server.failed.at(-1)?.reason).toContain(reason);
      expect(server.said.filter(({ taskId }) => taskId === of.taskId)).toEqual([]);
    };
    beforeEach(async () => {
      node.end();
      await node.begin(server, own, BUDGET);
    });

    it('is refused, also after a restart, and told what is spent', async () => {
      await offered(task);
      await node.answer(task, { w: zeros }, [], 10);
      expect(await over()).toBe('done');
      const [left] = await lines('answer-released');
      expect(left).toMatchObject({ epsilonSpent: expect.any(Number) });
      expect(Number(left?.epsilonSpent)).toBeLessThanOrEqual(7);
      await refused(nth(1), 'NOISE_BUDGET_SPENT');
      node.end();
      await node.begin(server, own, BUDGET);
      await refused(nth(2), 'NOISE_BUDGET_SPENT, 1 noised sums cost');
      node.end();
      await node.begin(server, own, { ...BUDGET, noiseBudget: { epsilon: 20, delta: 1e-5 } });
      const next = nth(3);
      await offered(next);
      await eventually(() => server.said.some(({ taskId }) => taskId === next.taskId));
    });

    it('gets one of two rounds that it begins at once', async () => {
      await Promise.all([offered(nth(4)), offered(nth(5))]);
      await eventually(() => server.failed.length === 1);
      expect(server.failed[0]?.reason).toContain('NOISE_BUDGET_SPENT');
    });

    it('gets another where the first one ended before its vector was made', async () => {
      const first = nth(6);
      await offered(first);
      await refused(nth(7), 'NOISE_BUDGET_SPENT');
      endRound(node.guard, first.taskId, 'withdrawn');
      const next = nth(8);
      await offered(next);
      await eventually(() => server.said.some(({ taskId }) => taskId === next.taskId));
    });

    it('gets no training without noise, masked or in the clear', async () => {
      node.end();
      await node.begin(server, own, { ...BUDGET, leastNoise: 0, requireMasking: false });
      await offered(nth(9, { noiseSigma: null }));
      await offered({ ...nth(10), masking: null });
      expect(await lines('offer-refused')).toMatchObject([{ rule: 'masking.budget' }, { rule: 'masking.budget' }]);
    });
  });

  it('what the grid says is what the owner is asked about', () => {
    const { masking } = task;
    expect(Grid.create(specs, gridOptions(masking as Masking)).noise(3).noise_multiplier).toBeGreaterThanOrEqual(1);
  });
});
