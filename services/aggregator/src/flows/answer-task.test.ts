// When the answer to an answer goes out.
import { IntakeService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { AegisError } from '@aegis/errors';
import { eventually } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
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

describe('an answer that rests on what is not saved yet', () => {
  /** A run whose first task is out, and whose writes wait from now on. */
  const held = async (lines = '') => {
    const order: string[] = [];
    let gate: Promise<void> = Promise.resolve();
    let fails = false;
    const keeping = async <T>(keep: () => Promise<T>): Promise<T> => {
      order.push('begun');
      await gate;
      if (fails) throw new AegisError('DISK_FULL');
      const kept = await keep();
      order.push('kept');
      return kept;
    };
    const stores = memoryStores();
    replace(stores.rounds, 'save', (save) => (state, revision) => keeping(() => save(state, revision)));
    replace(stores.intakes, 'open', (open) => async (room, model, epoch) => {
      const intake = await open(room, model, epoch);
      replace(intake, 'record', (record) => (answer) => keeping(() => record(answer)));
      return intake;
    });
    const world = new World({ stores });
    world.peers.setOnline([1n, 2n, 3n]);
    await world.start(bundle(lines));
    const task = await eventually(() => [...world.peers.tasks.values()][0] ?? Promise.reject(new Error('no task')));
    const intake = world.channel.client(IntakeService);
    const { promise, resolve: open } = Promise.withResolvers<void>();
    gate = promise;
    order.length = 0;
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
    /** Says the one, and the other while the first is being written. */
    const both = async (first: (say: Say) => Promise<unknown>, second: typeof first, failing = false) => {
      const told = [tell(first(say))];
      await eventually(() => order.includes('begun'));
      told.push(tell(second(say)));
      // other questions are answered meanwhile, and so would the second be
      for (let i = 0; i < 100; i += 1) await intake.getRun({ runId: task.runId });
      fails = failing;
      open();
      await Promise.all(told);
      return order;
    };
    return both;
  };
  const toldLast = (order: readonly string[]) => order.filter((what) => what.startsWith('told')).sort();

  it('waits for it: a failure told twice', async () => {
    const both = await held();
    const order = await both(
      (say) => say.failed(),
      (say) => say.failed(),
    );
    expect(order).toEqual(['begun', 'kept', 'told', 'told']);
  });

  it('waits for it: a failure that ended its cohort, told again', async () => {
    const both = await held('min-train-nodes = 3');
    const order = await both(
      (say) => say.failed(),
      (say) => say.failed(),
    );
    expect(order.slice(0, 2)).toEqual(['begun', 'kept']);
    expect(toldLast(order)).toEqual(['told', 'told TASK_NOT_FOUND']);
  });

  it.each<[string, (say: Say) => Promise<unknown>]>([
    ['a failure', (say) => say.failed()],
    ['another answer', (say) => say.answer(7)],
  ])('waits for it: %s told while an answer is being written', async (_what, second) => {
    const both = await held();
    const order = await both((say) => say.answer(1), second);
    expect(order.slice(0, 2)).toEqual(['begun', 'kept']);
    expect(toldLast(order)).toEqual(['told', 'told TASK_ANSWERED']);
  });

  it('says to try again when that cannot be written', async () => {
    const both = await held();
    const order = await both(
      (say) => say.answer(1),
      (say) => say.failed(),
      true,
    );
    expect(order).toEqual(['begun', 'told DISK_FULL', 'told DISK_FULL']);
  });
});

/** Of this object only. */
function replace<T extends object, K extends keyof T>(target: T, name: K, by: (before: T[K]) => T[K]): void {
  const before = target[name] as T[K] & ((...args: unknown[]) => unknown);
  target[name] = by(before.bind(target) as T[K]);
}
