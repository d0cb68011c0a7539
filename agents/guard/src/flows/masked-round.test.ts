import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AegisError } from '@aegis/errors';
import { eventually } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { STAGES, type Stage } from '../domain/masking.ts';
import type { ConfigEntry } from '../domain/task.ts';
import { Federation } from '../testing/federation.ts';
import { MaskedGuard, maskedTask, realModel } from '../testing/masked-guard.ts';
import { MaskedServer } from '../testing/masked-server.ts';
import { floatsOf } from '../testing/npy.ts';
import { takeOffer } from './take-offer.ts';
import { Withdrawn, withdrawTask } from './withdraw-task.ts';

const federation = await Federation.found();
const own = await federation.signing('ada');
const others = new Map(
  await Promise.all(
    ['1', '2', '3', '4'].map(async (node) => [node, await federation.signing(`peer-${node}`)] as const),
  ),
);
const model = await realModel({ w: [1, 2, 3], b: [0.5] });
const loss = (value: number): ConfigEntry => ({ key: 'loss', value: { kind: 'real', value } });
const task = maskedTask(model);

let server: MaskedServer;
let node: MaskedGuard;
beforeEach(async () => {
  server = new MaskedServer(others, model.bytes);
  server.peersGive = { tensors: [[0, 0, 0], [0]], metrics: [1] };
  server.open(task);
  node = await MaskedGuard.open(server, own);
});
afterEach(() => node.remove());

/** The SuperNode has trained: everything moved by one half. */
const answered = () =>
  node.answer(task, { w: [1.5, 2.5, 3.5], b: [1] }, [loss(6), { key: 'age', value: { kind: 'real', value: 41 } }], 10);
const over = () => eventually(() => node.guard.journal.masked(task.taskId)?.over ?? false);
const lines = async (event: string) => (await node.audit()).filter((line) => line.event === event);
const sealed = async () => (await readdir(join(node.state, 'rounds'))).filter((name) => name.endsWith('.sealed'));

describe('a masked round', () => {
  it('goes from the offer to the last word, and the sum is that of all: differences, metrics and weight', async () => {
    await takeOffer(node.guard, task);
    expect(node.guard.tasks.find(task.taskId)).toEqual(task);
    await answered();
    expect(await over()).toBe('done');
    const [sum] = server.opened;
    expect([sum?.survivors, sum?.weight]).toEqual([5, 5]);
    expect(floatsOf(sum?.tensor(0) ?? Buffer.alloc(0)).map((value) => value.toFixed(3))).toEqual([
      '0.100',
      '0.100',
      '0.100',
    ]);
    expect(sum?.metric(0)).toBeCloseTo((6 + 4 * 1) / 5, 4);
    expect(server.said.map(({ stage }) => stage)).toEqual([...STAGES]);
  });

  it('sends the vector and nothing else, in parts that the server takes', async () => {
    await takeOffer(node.guard, task);
    await answered();
    await over();
    const [sent] = server.submitted;
    expect(sent).toMatchObject({ tensors: [], metrics: [] });
    const bytes = sent?.masked.reduce((sum, { length }) => sum + length, 0);
    expect(bytes).toBe(Math.ceil((23 * 10) / 8));
    expect(Math.max(...[...server.parts.values()].map(({ length }) => length))).toBeLessThanOrEqual(
      server.maxPartBytes,
    );
  });

  it('tells the owner what left, in a sum of how many, what was kept, and whose sum was opened', async () => {
    await takeOffer(node.guard, task);
    await answered();
    await over();
    expect(await lines('answer-released')).toMatchObject([
      { tensors: ['w', 'b'], metrics: ['loss'], withheld: ['age'], bytes: 29, maskedAmong: 4 },
    ]);
    expect(await lines('round-joined')).toMatchObject([{ kind: 'train', nodes: 5, survivors: 4, threshold: 3 }]);
    expect(await lines('sum-opened')).toMatchObject([{ survivors: 5, dropped: 0 }]);
    expect(await lines('verdict')).toMatchObject([{ accepted: true }]);
  });

  it('waits for the SuperNode, however early the server asks', async () => {
    await takeOffer(node.guard, task);
    await eventually(() => server.said.length === 2);
    expect(server.submitted).toEqual([]);
    await answered();
    expect(await over()).toBe('done');
  });

  it('has the answer that came while the server was waited for', async () => {
    const asked = Promise.withResolvers<void>();
    server.before = (stage) => (stage === 'share' ? asked.promise : undefined);
    await takeOffer(node.guard, task);
    await answered();
    asked.resolve();
    expect(await over()).toBe('done');
  });

  it('masks what the policy noised first', async () => {
    node.end();
    await node.begin(server, own, { localNoise: { clip: 0.01, sigma: 1e-6 } });
    await takeOffer(node.guard, task);
    await answered();
    expect(await over()).toBe('done');
    expect(await lines('update-noised')).toMatchObject([{ clip: 0.01, clipped: true }]);
    // One half each of four values is an L2 norm of 1: a hundredth of it is left, for the sum to be a fifth of.
    const [first = 0] = floatsOf(server.opened[0]?.tensor(0) ?? Buffer.alloc(0));
    expect(first).toBeCloseTo((0.5 * 0.01) / 5, 4);
  });

  it('of an evaluation masks its metrics alone', async () => {
    const evaluation = maskedTask(model, { taskId: '01EVAL', kind: 'evaluate' }, { round: 130n });
    server.open(evaluation);
    server.peersGive = { tensors: [], metrics: [1] };
    await takeOffer(node.guard, evaluation);
    await node.answer(evaluation, {}, [loss(6)], 10);
    await eventually(() => node.guard.journal.masked('01EVAL')?.over === 'done');
    expect(server.opened[0]?.metric(0)).toBeCloseTo(2, 4);
  });

  it('opens the sum of those who stayed when one drops out after it shared', async () => {
    server.dropping = ['2'];
    await takeOffer(node.guard, task);
    await answered();
    expect(await over()).toBe('done');
    expect(server.opened[0]?.survivors).toBe(4);
    expect(await lines('sum-opened')).toMatchObject([{ survivors: 4, dropped: 1 }]);
  });

  it('leaves nothing secret behind', async () => {
    await takeOffer(node.guard, task);
    await answered();
    await over();
    await eventually(async () => (await sealed()).length === 0);
    expect(node.guard.rounds.client(task.taskId)).toBe(undefined);
    await expect(access(join(node.state, 'answers', task.taskId))).rejects.toThrow();
  });

  it('is over when the server says so, and the SuperNode’s work does not leave', async () => {
    server.before = (stage) => {
      if (stage === 'share') throw new AegisError('SECAGG_ROUND_OVER');
    };
    await takeOffer(node.guard, task);
    expect(await over()).toBe('SECAGG_ROUND_OVER');
    expect(server.failed).toMatchObject([{ taskId: task.taskId, reason: 'The masked round is over for this node.' }]);
    expect(node.guard.tasks.find(task.taskId)).toBe(null);
    expect(server.submitted).toEqual([]);
    await eventually(async () => (await sealed()).length === 0);
  });

  it.each(['while the SuperNode works', 'when it has answered'])('withdrawn %s: nothing leaves', async (when) => {
    const asked = Promise.withResolvers<void>();
    server.before = (stage) => (stage === 'share' ? asked.promise : undefined);
    await takeOffer(node.guard, task);
    if (when === 'when it has answered') await answered();
    await withdrawTask(node.guard, new Withdrawn(), task.taskId);
    expect(node.guard.journal.masked(task.taskId)?.over).toBe('withdrawn');
    asked.resolve();
    await eventually(async () => (await sealed()).length === 0);
    expect(server.submitted).toEqual([]);
    expect(server.failed).toHaveLength(when === 'when it has answered' ? 1 : 0);
  });

  it('a failure of the SuperNode ends', async () => {
    await takeOffer(node.guard, task);
    await node.answer(task, { w: [1, 2], b: [1] }, [loss(6)], 10);
    expect(await over()).toContain('(policy: tensors)');
    expect(server.failed).toHaveLength(1);
    expect(server.submitted).toEqual([]);
  });

  it('goes on through a server that is away in between', async () => {
    const away = new Set<Stage>(STAGES);
    server.before = (stage) => {
      if (away.delete(stage)) throw new AegisError('UNAVAILABLE');
    };
    await takeOffer(node.guard, task);
    await answered();
    const clock = node.guard.clock as unknown as { advance(ms: number): Promise<void> };
    await eventually(async () => {
      await clock.advance(1_000);
      return node.guard.journal.masked(task.taskId)?.over === 'done';
    });
    expect(server.opened).toHaveLength(1);
  });
});
