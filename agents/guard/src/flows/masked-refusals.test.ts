import { eventually } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MaskedGrid } from '../domain/masking.ts';
import type { ConfigEntry, Task } from '../domain/task.ts';
import { Federation } from '../testing/federation.ts';
import { MaskedGuard, maskedTask, realModel } from '../testing/masked-guard.ts';
import { MaskedServer } from '../testing/masked-server.ts';
import { takeOffer } from './take-offer.ts';

// Terms that a server may offer, and what an app may put into its answer, against one guard: refused under its own name, and nothing leaves.

const federation = await Federation.found();
const own = await federation.signing('ada');
const others = new Map(
  await Promise.all(
    ['1', '2', '3', '4'].map(async (node) => [node, await federation.signing(`peer-${node}`)] as const),
  ),
);
const model = await realModel({ w: [1, 2, 3], b: [0.5] });
const task = maskedTask(model);
const loss: ConfigEntry = { key: 'loss', value: { kind: 'real', value: 6 } };
const trained = { w: [1.5, 2.5, 3.5], b: [1] };

let server: MaskedServer;
let node: MaskedGuard;
beforeEach(async () => {
  server = new MaskedServer(others, model.bytes);
  server.peersGive = { tensors: [[0, 0, 0], [0]], metrics: [1] };
  server.open(task);
  node = await MaskedGuard.open(server, own);
});
afterEach(() => node.remove());

const over = () => eventually(() => node.guard.journal.masked(task.taskId)?.over ?? false);
const lines = async (event: string) => (await node.audit()).filter((line) => line.event === event);
function withMetrics(...metrics: { name: string; low: number; high: number }[]): Task {
  const { masking } = task;
  if (masking === null) throw new Error('the task is masked');
  return { ...task, masking: { ...masking, grid: { ...masking.grid, metrics } } };
}

/** The terms that everybody signs, with a grid for this node. */
function askedOtherwise(grid: Partial<MaskedGrid>): Task {
  const { masking } = task;
  if (masking === null) throw new Error('the task is masked');
  return { ...task, masking: { ...masking, grid: { ...masking.grid, ...grid } } };
}

describe('terms that protect nothing', () => {
  const policyRefuses = async (of: Task, rule: string) => {
    server.open(of);
    await takeOffer(node.guard, of);
    expect(await lines('offer-refused')).toMatchObject([{ task: of.taskId, rule }]);
    expect(server.failed).toMatchObject([{ taskId: of.taskId, reason: expect.stringContaining(`(policy: ${rule})`) }]);
    expect(node.guard.tasks.all()).toEqual([]);
    expect([server.said, server.submitted]).toEqual([[], []]);
  };

  it.each<[string, Task, string]>([
    ['a cohort of one', maskedTask(model, {}, { cohort: 1, minSurvivors: 1 }), 'masking.cohort'],
    ['a cohort below the floor', maskedTask(model, {}, { cohort: 3, minSurvivors: 3 }), 'masking.cohort'],
    ['a sum of two', maskedTask(model, {}, { minSurvivors: 2 }), 'masking.survivors'],
    ['a plan downgraded to off', { ...task, masking: null }, 'require-masking'],
    ['a first model, which nobody can mask', { ...task, kind: 'initial-model', model: null, masking: null }, 'kinds'],
    ['a metric that is not listed', withMetrics({ name: 'age', low: 0, high: 1 }), 'metrics'],
    ['a metric wider than listed', withMetrics({ name: 'loss', low: 0, high: 1e9 }), 'metrics'],
  ])('%s', (_name, of, rule) => policyRefuses(of, rule));

  it('a run that was masked and is downgraded later, also where masking is not required', async () => {
    await node.guard.journal.beginRound({ task, stage: 'advertise', answer: '', update: null, over: null }, null);
    node.end();
    await node.begin(server, own, { requireMasking: false });
    await policyRefuses({ ...task, taskId: '01NEXT', masking: null }, 'require-masking');
  });

  it('a plan that leaves masking to the app (flower): the guard sees an answer in the clear', async () => {
    const config: ConfigEntry[] = [{ key: 'share_keys_triple', value: { kind: 'data', value: Buffer.alloc(8) } }];
    await policyRefuses({ ...task, config, masking: null }, 'require-masking');
  });

  it('an app that nobody trusted signed', async () => {
    node.end();
    await node.begin(server, own, { requireSignedApp: true });
    await policyRefuses(task, 'require-signed-app');
  });

  it('any, for a guard without a signing certificate', async () => {
    node.end();
    await node.begin(server, null);
    await policyRefuses(task, 'masking');
  });

  it.each<[string, Task, string]>([
    ['a sum that could wrap', maskedTask(model, {}, { bits: 19 }), 'TERMS_DIFFER'],
    ['a vector of another length', maskedTask(model, {}, { length: 11 }), 'TERMS_DIFFER'],
    ['an L2 clip that the others were not told of', askedOtherwise({ normClip: 1e-9 }), 'TERMS_DIFFER'],
    ['a range of values of its own', askedOtherwise({ clip: 1e30 }), 'TERMS_DIFFER'],
    ['a learning rate of its own', { ...task, config: [loss] }, 'TERMS_DIFFER'],
    ['a threshold that two stories could reach', maskedTask(model, {}, { threshold: 2 }), 'THRESHOLD_BELOW_FLOOR'],
  ])('%s', async (_name, of, reason) => {
    server.open(of);
    await takeOffer(node.guard, of);
    await eventually(() => server.failed.length === 1);
    expect(server.failed[0]?.reason).toContain(reason);
    expect(await lines('round-refused')).toMatchObject([{ reason }]);
    expect(server.submitted).toEqual([]);
  });

  it('those of a round that was before: replayed for another task', async () => {
    await takeOffer(node.guard, task);
    await node.answer(task, trained, [loss], 10);
    expect(await over()).toBe('done');
    const replayed = { ...task, taskId: '01AGAIN' };
    server.open(replayed);
    await takeOffer(node.guard, replayed);
    expect(server.failed).toMatchObject([{ taskId: '01AGAIN', reason: expect.stringContaining('ROUND_REPEATED') }]);
    expect(server.said.filter(({ taskId }) => taskId === '01AGAIN')).toEqual([]);
  });
});

describe('an app that hides data in its answer', () => {
  it.each([
    ['outside their range', 3.4],
    ['of which one is no number', Number.NaN],
  ])('values %s stay, before any of them is masked', async (_name, value) => {
    node.end();
    await node.begin(server, own, { tensors: [{ name: '*', min: 0, max: 3.3 }] });
    await takeOffer(node.guard, task);
    await node.answer(task, { ...trained, w: [1.5, value, 2.5] }, [loss], 10).catch(() => {});
    expect(await lines('answer-refused')).toMatchObject([{ rule: 'tensors' }]);
    expect(server.submitted).toEqual([]);
  });

  const hidden = 'row 17 of patients.csv';

  it('metrics that the mask does not cover stay, whatever they are called', async () => {
    await takeOffer(node.guard, task);
    const smuggled: ConfigEntry[] = [
      { key: 'loss2', value: { kind: 'real', value: 17 } },
      { key: hidden, value: { kind: 'text', value: hidden } },
      { key: 'rows', value: { kind: 'reals', value: Array.from({ length: 1_000 }, () => 0.5) } },
    ];
    await node.answer(task, trained, [loss, ...smuggled], 10);
    expect(await over()).toBe('done');
    expect(server.submitted).toMatchObject([{ metrics: [], tensors: [] }]);
    expect(await lines('answer-released')).toMatchObject([{ withheld: ['loss2', hidden, 'rows'] }]);
    expect(JSON.stringify([server.said, server.failed])).not.toContain('patients');
  });

  it.each<[string, ConfigEntry[]]>([
    ['a list under the name of a metric', [{ key: 'loss', value: { kind: 'reals', value: Array(100_000).fill(1) } }]],
    ['a text', [{ key: 'loss', value: { kind: 'text', value: hidden } }]],
    ['no number', [{ key: 'loss', value: { kind: 'real', value: Number.NaN } }]],
    ['nothing', []],
  ])('%s instead of the number: nothing leaves', async (_name, metrics) => {
    await takeOffer(node.guard, task);
    expect(await node.answer(task, trained, metrics, 10)).toBe(false);
    expect(await lines('answer-refused')).toMatchObject([{ rule: 'metrics' }]);
    expect(server.failed).toMatchObject([{ reason: expect.stringContaining('(policy: metrics)') }]);
    expect(server.submitted).toEqual([]);
  });

  it('a number far outside of its range leaves as the end of the range', async () => {
    await takeOffer(node.guard, task);
    await node.answer(task, trained, [{ key: 'loss', value: { kind: 'real', value: 1e300 } }], 10);
    expect(await over()).toBe('done');
    expect(server.opened[0]?.metric(0)).toBeCloseTo((10 + 4 * 1) / 5, 4);
  });

  it.each<[string, number, string]>([
    ['more examples than the plan knows', 1_001, 'weight'],
    ['half an example', 0.5, 'weight'],
    ['none', 0, 'weight'],
  ])('%s: nothing leaves', async (_name, weight, rule) => {
    await takeOffer(node.guard, task);
    await node.answer(task, trained, [loss], weight);
    await eventually(() => server.failed.length === 1);
    expect(server.failed[0]?.reason).toContain(`(policy: ${rule})`);
    expect(server.submitted).toEqual([]);
  });
});
