import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { STAGES, type Stage } from '../domain/masking.ts';
import type { ConfigEntry } from '../domain/task.ts';
import { Federation } from '../testing/federation.ts';
import { MaskedGuard, maskedTask, realModel } from '../testing/masked-guard.ts';
import { MaskedServer } from '../testing/masked-server.ts';
import { deliverAnswer } from './deliver-answer.ts';
import { followRound } from './masked-round.ts';
import { takeOffer } from './take-offer.ts';

// A guard that ends at any moment of a masked round, and one that begins again on what it left.

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

let server: MaskedServer;
let node: MaskedGuard;
beforeEach(async () => {
  server = new MaskedServer(others, model.bytes);
  server.peersGive = { tensors: [[0, 0, 0], [0]], metrics: [1] };
  server.open(task);
  node = await MaskedGuard.open(server, own);
});
afterEach(() => node.remove());

const answered = () => node.answer(task, { w: [1.5, 2.5, 3.5], b: [1] }, [loss], 10);
const over = () => eventually(() => node.guard.journal.masked(task.taskId)?.over ?? false);
/** As the guard's own start does it. */
const restart = async (): Promise<void> => {
  node.end();
  await node.begin(server, own);
  const { guard } = node;
  for (const { taskId } of guard.journal.unsettled()) void deliverAnswer(guard, taskId);
  for (const open of guard.journal.openRounds()) void followRound(guard, open.task.taskId);
};
/** The stage's answer has left, and the next request never comes: until the guard has ended. */
const stuckAt = async (stage: Stage): Promise<void> => {
  const reached = Promise.withResolvers<void>();
  server.before = (said) => {
    if (said !== stage) return;
    reached.resolve();
    return new Promise(() => {});
  };
  await takeOffer(node.guard, task);
  await answered();
  await reached.promise;
  server.before = () => {};
};

describe('a guard that ends', () => {
  it.each(STAGES)('when it has said what it has for %s: says the same again, and the sum is opened', async (stage) => {
    await stuckAt(stage);
    const before = structuredClone(node.guard.journal.masked(task.taskId));
    await restart();
    expect(node.guard.journal.masked(task.taskId)).toEqual(before);
    expect(await over()).toBe('done');
    expect(server.secondAnswers).toEqual([]);
    expect(server.submitted).toHaveLength(1);
    expect(server.opened).toHaveLength(1);
  });

  it.each(STAGES.slice(0, 4))(
    'after %s was answered and heard: the same request comes again, and is answered the same',
    async (stage) => {
      const heard: Stage[] = [];
      server.before = (said) => {
        heard.push(said);
      };
      const next = STAGES[STAGES.indexOf(stage) + 1];
      // The process ends between sealing its secrets and writing down what it says: nothing of it has left.
      const { journal } = node.guard;
      let isCut = false;
      const cut = (): never => {
        isCut = true;
        node.stop();
        throw new Error('killed');
      };
      const [advance, mask] = [journal.advanceRound.bind(journal), journal.maskRound.bind(journal)];
      journal.advanceRound = (taskId, to, text) => (to === next ? cut() : advance(taskId, to, text));
      journal.maskRound = (record) => (next === 'mask' ? cut() : mask(record));
      await takeOffer(node.guard, task);
      await answered();
      await eventually(() => isCut);
      await restart();
      expect(await over()).toBe('done');
      expect(server.secondAnswers).toEqual([]);
      expect(server.submitted).toHaveLength(1);
    },
  );

  it('while the SuperNode works: the work begins again when the task is offered again', async () => {
    await takeOffer(node.guard, task);
    await eventually(() => server.said.length === 2);
    await restart();
    expect(node.guard.tasks.find(task.taskId)).toBe(null);
    await takeOffer(node.guard, task);
    expect(node.guard.tasks.find(task.taskId)).toEqual(task);
    await answered();
    expect(await over()).toBe('done');
    expect(server.secondAnswers).toEqual([]);
  });

  it('while the SuperNode works: what is offered again under the same name is what it was', async () => {
    await takeOffer(node.guard, task);
    await eventually(() => server.said.length === 2);
    await restart();
    await takeOffer(node.guard, { ...task, config: [loss], model: null });
    expect(node.guard.tasks.find(task.taskId)).toEqual(task);
  });

  it('and is told that a round is old: a run that was masked stays masked, and its terms are used up', async () => {
    const old = maskedTask(model, { taskId: '01OLD', createdAt: 1, ttl: 2e9 });
    server.open(old);
    await takeOffer(node.guard, old);
    node.guard.journal.endRound('01OLD', 'over');
    await restart();
    expect(node.guard.journal.lastMasking(7n)).toEqual(old.masking);
    await takeOffer(node.guard, { ...old, taskId: '01AGAIN' });
    expect(server.failed.at(-1)?.reason).toContain('ROUND_REPEATED');
  });

  it('when the SuperNode has answered and the mask is not due: the SuperNode is not asked again', async () => {
    const asked = Promise.withResolvers<void>();
    server.before = (stage) => (stage === 'share' ? asked.promise : undefined);
    await takeOffer(node.guard, task);
    await answered();
    await restart();
    await takeOffer(node.guard, task);
    expect(node.guard.tasks.all()).toEqual([]);
    server.before = () => {};
    asked.resolve();
    expect(await over()).toBe('done');
    expect(server.opened[0]?.metric(0)).toBeCloseTo((6 + 4 * 1) / 5, 4);
  });
});

describe('a state that is lost', () => {
  const losses: Record<string, (state: string) => Promise<void>> = {
    'is gone': async (state) => rm(join(state, 'rounds'), { recursive: true }),
    'has another key': async (state) => rm(join(state, 'rounds.key')),
    'was damaged': async (state) => {
      for (const name of await readdir(join(state, 'rounds'))) {
        if (name.endsWith('.sealed')) await writeFile(join(state, 'rounds', name), 'not this');
      }
    },
  };

  it.each(Object.entries(losses))(
    'because it %s: the round is over for this node, with that reason',
    async (_name, lose) => {
      await stuckAt('share');
      node.end();
      await lose(node.state);
      await restart();
      expect(await over()).toBe('STATE_LOST');
      expect(server.failed).toMatchObject([{ reason: expect.stringContaining('STATE_LOST at the stage mask') }]);
      expect(server.submitted).toEqual([]);
      expect((await node.audit()).filter(({ event }) => event === 'round-refused')).toMatchObject([
        { reason: 'STATE_LOST' },
      ]);
    },
  );

  it('after the vector has left: no second vector, and nothing is opened', async () => {
    await stuckAt('mask');
    node.end();
    await losses['is gone']?.(node.state);
    await restart();
    expect(await over()).toBe('STATE_LOST');
    expect(server.submitted).toHaveLength(1);
    expect(server.said.map(({ stage }) => stage)).toEqual(['advertise', 'share', 'mask']);
    await takeOffer(node.guard, task);
    expect(node.guard.tasks.all()).toEqual([]);
    expect(server.submitted).toHaveLength(1);
  });

  it('with its journal: the task is computed again under fresh keys, and the server has the first', async () => {
    await stuckAt('share');
    node.end();
    for (const name of await readdir(node.state)) if (name.startsWith('journal')) await rm(join(node.state, name));
    await restart();
    await takeOffer(node.guard, task);
    await eventually(() => server.secondAnswers.length === 1);
    // A real server refuses that (SECAGG_SECOND_ANSWER): this node is out of the round.
    expect(server.secondAnswers).toEqual(['advertise']);
  });
});
