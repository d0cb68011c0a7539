// When the answer to an answer goes out.
import { IntakeService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { AegisError } from '@aegis/errors';
import { eventually } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import type { Task } from '../peers/contract.ts';
import { memoryStores } from '../store/memory/index.ts';
import { writeNpy, writeNpz } from '../store/memory/npy.ts';
import { fab } from '../testing/bundles.ts';
import { f4 } from '../testing/simulated-node.ts';
import { World } from '../testing/world.ts';

const w = f4([3], [0.1, 0.2, 0.3]);
const bundle = (lines: string) =>
  fab({
    config: `num-server-rounds = 1\nmin-available-nodes = 3\naegis.initial-model = "file:init.npz"\n${lines}`,
    extra: [{ name: 'init.npz', content: writeNpz([{ name: 'w', npy: writeNpy(w) }]) }],
  });
interface Say {
  failed(): Promise<unknown>;
  answer(weight: number): Promise<unknown>;
}

type Saying = (say: Say) => Promise<unknown>;

describe('an answer that rests on what is not saved yet', () => {
  /** A run whose tasks are out. From now on its writes wait (`writes`), or they are not all out yet, and the round waits for that (`tasks`). */
  const held = async (what: 'writes' | 'tasks' = 'writes', lines = '') => {
    const order: string[] = [];
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    let isHeld = false;
    let fails = false;
    const wait = (): Promise<void> => {
      order.push('begun');
      return gate;
    };
    const keeping = async <T>(keep: () => Promise<T>): Promise<T> => {
      if (!isHeld) return keep();
      await wait();
      if (fails) throw new AegisError('DISK_FULL');
      const kept = await keep();
      order.push('kept');
      return kept;
    };
    const stores = memoryStores();
    replace(stores.rounds, 'save', (save) => (state, revision) => keeping(() => save(state, revision)));
    replace(stores.intakes, 'open', (openRoom) => async (room, model, epoch) => {
      const intake = await openRoom(room, model, epoch);
      replace(intake, 'record', (record) => (answer) => keeping(() => record(answer)));
      return intake;
    });
    const world = new World({ stores });
    if (what === 'tasks') replace(world.peers.mailbox, 'put', (put) => (tasks) => put(tasks).then(wait));
    world.peers.setOnline([1n, 2n, 3n]);
    await world.start(bundle(lines));
    await eventually(() => world.peers.tasks.size > 0);
    const [task] = [...world.peers.tasks.values()] as [Task];
    const intake = world.channel.client(IntakeService);
    isHeld = what === 'writes';
    const tell = async (answer: Promise<unknown>): Promise<void> => {
      const code = await answer.then(
        () => '',
        (error: unknown) => ` ${AegisError.from(error).code}`,
      );
      order.push(`told${code}`);
    };
    const say: Say = {
      failed: () => intake.failTask({ task, code: 2, reason: 'x' }),
      answer: (weight) => world.answerTask(task, () => ({ arrays: { w }, weight })),
    };
    /** Says the one, and the other while the first waits. */
    const both = async (first: Saying, second: Saying) => {
      const told = [tell(first(say))];
      await eventually(() => order.includes('begun'));
      told.push(tell(second(say)));
      // other questions are answered meanwhile, and so would the second be
      for (let i = 0; i < 100; i += 1) await intake.getRun({ runId: task.runId });
      open();
      await Promise.all(told);
      return order;
    };
    const fail = (): void => {
      fails = true;
    };
    return { both, fail };
  };
  const toldLast = (order: readonly string[]) => order.filter((what) => what.startsWith('told')).sort();

  const failed: Saying = (say) => say.failed();
  const answer: Saying = (say) => say.answer(1);

  it('waits for it: a failure told twice', async () => {
    const { both } = await held();
    expect(await both(failed, failed)).toEqual(['begun', 'kept', 'told', 'told']);
  });

  it('waits for it: a failure that ended its cohort, told again', async () => {
    const { both } = await held('writes', 'min-train-nodes = 3');
    const order = await both(failed, failed);
    expect(order.slice(0, 2)).toEqual(['begun', 'kept']);
    expect(toldLast(order)).toEqual(['told', 'told TASK_NOT_FOUND']);
  });

  it.each<[string, Saying]>([
    ['a failure', failed],
    ['another answer', (say) => say.answer(7)],
  ])('waits for it: %s told while an answer is being written', async (_what, second) => {
    const { both } = await held();
    const order = await both(answer, second);
    expect(order.slice(0, 2)).toEqual(['begun', 'kept']);
    expect(toldLast(order)).toEqual(['told', 'told TASK_ANSWERED']);
  });

  it('waits for it: an answer to a task whose failure the round has not come to yet', async () => {
    const { both } = await held('tasks');
    expect(toldLast(await both(failed, answer))).toEqual(['told', 'told TASK_ANSWERED']);
  });

  it('says to try again when that cannot be written', async () => {
    const { both, fail } = await held();
    fail();
    expect(await both(answer, failed)).toEqual(['begun', 'told DISK_FULL', 'told DISK_FULL']);
  });
});

/** Of this object only. */
function replace<T extends object, K extends keyof T>(target: T, name: K, by: (before: T[K]) => T[K]): void {
  const before = target[name] as T[K] & ((...args: unknown[]) => unknown);
  target[name] = by(before.bind(target) as T[K]);
}
