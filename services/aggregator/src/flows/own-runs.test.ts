// Restarts, leases and overtaken owners, on in-memory stores that outlive their aggregators.
import { AegisError } from '@aegis/errors';
import { silentLogger } from '@aegis/service-kit';
import { eventually, FakeClock } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import type { Task } from '../peers/contract.ts';
import type { IntakeStore, RoundIntake, RoundStore, Stores } from '../store/contract.ts';
import { memoryStores } from '../store/memory/index.ts';
import { MemoryIntakes } from '../store/memory/intakes.ts';
import type { MemoryModels } from '../store/memory/models.ts';
import { writeNpy, writeNpz } from '../store/memory/npy.ts';
import { fab } from '../testing/bundles.ts';
import { type Arrays, f4, type Reply } from '../testing/simulated-node.ts';
import { World } from '../testing/world.ts';

const initial = writeNpz([{ name: 'w', npy: writeNpy(f4([3], [0.1, 0.2, 0.3])) }]);
const bundle = (lines = '') =>
  fab({
    config: `num-server-rounds = 2\nmin-available-nodes = 3\naegis.initial-model = "file:init.npz"\n${lines}`,
    extra: [{ name: 'init.npz', content: initial }],
  });
const nodes = [1n, 2n, 3n];
const learn = (task: Task, model: Arrays): Reply =>
  task.kind === 'evaluate'
    ? { weight: 1 }
    : {
        arrays: {
          w: f4(
            [3],
            (model.w?.values ?? []).map((value) => value + Number(task.nodeId) / 7),
          ),
        },
        weight: 0.1 * Number(task.nodeId),
      };
const terms = (runId: bigint) => ({ runId, owner: 'one', address: '', volume: 'disk', epoch: 9 });
const tasksOf = (world: World) => [...world.peers.tasks.values()];
const dispatched = (world: World, round: number, count = 3) =>
  eventually(() => {
    const tasks = tasksOf(world).filter((task) => task.round === round && task.kind === 'train');
    return tasks.length === count ? tasks : false;
  }) as Promise<Task[]>;
const learnAll = async (world: World, tasks: readonly Task[]) => {
  for (const task of tasks) await world.answerTask(task, learn);
};
const undisturbed = async () => {
  const world = new World();
  world.peers.setOnline(nodes);
  world.answerWith(learn);
  const { runId } = await world.start(bundle('fraction-evaluate = 0.0'));
  return (await world.finished(runId)).modelId;
};

describe('a restart', () => {
  it('in the middle of a round goes on in it, with the same tasks and to the same bits', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    const { runId } = await world.start(bundle('fraction-evaluate = 0.0'));
    const tasks = await dispatched(world, 1);
    await learnAll(world, tasks.slice(1, 2));
    const next = await world.restart();
    expect(
      tasksOf(next)
        .map((task) => task.taskId)
        .sort(),
    ).toEqual([tasks[0]?.taskId, tasks[2]?.taskId].sort());
    await learnAll(next, [tasks[2] as Task, tasks[0] as Task]);
    const second = await dispatched(next, 2);
    await learnAll(next, second);
    const run = await next.finished(runId);
    expect(run.history.map((round) => round.accepted)).toEqual([3, 3]);
    expect(run.modelId).toBe(await undisturbed());
    expect(next.peers.logOf(runId)).toContain('round 1/2, train: resumed after a restart with 1 of 3 answers');
  });

  it('remembers what it accepted: the same answer again is acknowledged, another is not', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    await world.start(bundle());
    const [task] = await dispatched(world, 1);
    await world.answerTask(task as Task, learn);
    const next = await world.restart();
    expect(await next.answerTask(task as Task, learn)).toMatchObject({ accepted: true });
    const other = () => ({ arrays: { w: f4([3], [9, 9, 9]) }, weight: 1 });
    await expect(next.answerTask(task as Task, other)).rejects.toMatchObject({ code: 'TASK_ANSWERED' });
  });

  it('remembers what it refused', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    await world.start(bundle());
    const [task] = await dispatched(world, 1);
    const bad = () => ({ arrays: { w: f4([3], [Number.NaN, 0, 0]) }, weight: 1 });
    await world.answerTask(task as Task, bad);
    const next = await world.restart();
    expect(await next.answerTask(task as Task, bad)).toMatchObject({
      accepted: false,
      refusalCode: 'UPDATE_NOT_FINITE',
    });
  });

  it('publishes tasks that never reached their mailbox', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    await world.start(bundle());
    const tasks = await dispatched(world, 1);
    world.peers.tasks.delete(tasks[1]?.taskId ?? '');
    const next = await world.restart();
    const again = await dispatched(next, 1);
    const byId = (a: Task, b: Task) => (a.taskId < b.taskId ? -1 : 1);
    expect(again.sort(byId)).toEqual(tasks.sort(byId));
  });

  it('goes on waiting for nodes', async () => {
    const world = new World();
    const { runId } = await world.start(bundle());
    await eventually(() => world.peers.logOf(runId).some((line) => line.includes('waiting for nodes')));
    const next = await world.restart();
    next.peers.setOnline(nodes);
    await dispatched(next, 1);
  });

  it('finishes a round whose last answer came just before', async () => {
    const stores = memoryStores();
    const stuck = withIntakes(stores, (intake) => ({
      writeMean: () => new Promise(() => {}),
      fold: (answer) => intake.fold(answer),
    }));
    const world = new World({ stores: stuck });
    world.peers.setOnline(nodes);
    const { runId } = await world.start(bundle('fraction-evaluate = 0.0'));
    await learnAll(world, await dispatched(world, 1));
    await eventually(() => world.owner.owned(runId)?.current()?.stage === 'finishing');
    // killed: nothing of the old process goes on
    const next = new World({ stores }, world.peers);
    await next.owner.start();
    await learnAll(next, await dispatched(next, 2));
    expect((await next.finished(runId)).modelId).toBe(await undisturbed());
  });

  it('leaves finished runs alone', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    world.answerWith(learn);
    const { runId } = await world.start(bundle());
    await world.finished(runId);
    const next = await world.restart();
    expect(next.owner.owned(runId)).toBeUndefined();
    expect((await next.finished(runId)).run?.status?.subStatus).toBe('completed');
  });
});

describe('what a crash left behind', () => {
  it('is cleared away: rooms of finished runs, leases without a run', async () => {
    const stores = memoryStores();
    const world = new World({ stores });
    world.peers.setOnline(nodes);
    world.answerWith(learn);
    const { runId } = await world.start(bundle());
    await world.finished(runId);
    await world.owner.drain();
    const intake = await stores.intakes.open({ runId, round: 1, kind: 'train', attempt: 1 }, null, 1);
    await intake.close();
    await stores.leases.take(terms(runId), (await stores.leases.get(runId))?.revision ?? null);
    await stores.leases.take(terms(4711n), null);
    const next = new World({ stores }, world.peers);
    await next.owner.start();
    expect(await stores.intakes.runs()).toEqual([]);
    expect(await stores.leases.list()).toEqual([]);
  });

  it('is withdrawn: tasks of a phase whose end was written, but not carried out', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    const { runId } = await world.start(bundle());
    const old = await dispatched(world, 1);
    await world.owner.drain();
    const kept = await world.stores.runs.get(runId);
    if (kept === null) throw new Error('no run');
    await world.stores.runs.save({ ...kept.value, phase: { kind: 'train', round: 2 }, round: 1 }, kept.revision);
    const next = new World({ stores: world.stores }, world.peers);
    await next.owner.start();
    await dispatched(next, 2);
    await eventually(() => old.every((task) => !next.peers.tasks.has(task.taskId)));
  });
});

describe('two aggregators', () => {
  const pair = async () => {
    const clock = new FakeClock();
    const stores = memoryStores();
    const first = new World({ stores, clock, owner: 'first' });
    const second = new World({ stores, clock, owner: 'second' }, first.peers);
    first.peers.setOnline(nodes);
    const { runId } = await first.start(bundle('fraction-evaluate = 0.0'));
    const tasks = await dispatched(first, 1);
    return { clock, first, second, runId, tasks };
  };

  it('do not drive the same run', async () => {
    const { clock, first, second, runId, tasks } = await pair();
    await first.owner.start();
    await second.owner.start();
    for (let i = 0; i < 10; i += 1) await clock.advance(5_000);
    expect([first.owner.owned(runId) !== undefined, second.owner.owned(runId) !== undefined]).toEqual([true, false]);
    await expect(second.answerTask(tasks[0] as Task, learn)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('take over from each other when one is silent, and the silent one can write nothing', async () => {
    const { clock, first, second, runId, tasks } = await pair();
    await first.answerTask(tasks[0] as Task, learn);
    // `first` is paused: it renews nothing. The second watches its lease stand still.
    await second.owner.start();
    expect(second.owner.owned(runId)).toBeUndefined();
    for (let i = 0; i < 4; i += 1) await clock.advance(5_000);
    await eventually(() => second.owner.owned(runId) !== undefined);
    await learnAll(second, tasks.slice(1));
    const round2 = await dispatched(second, 2);

    // it wakes up and still believes in round 1: what it tries to write is refused, and it withdraws nothing
    const before = new Map(second.peers.tasks);
    await expect(first.answerTask(tasks[1] as Task, learn)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await first.owner.owned(runId)?.stop();
    first.peers.setOnline([1n]);
    await clock.advance(600_000);
    expect((await first.stores.runs.get(runId))?.value.state).toBe('running');
    expect(
      [...before.keys()].every((task) => second.peers.tasks.has(task) || round2.some(({ taskId }) => taskId === task)),
    ).toBe(true);
  });

  it('finish what a drained one gave away, without waiting for its lease', async () => {
    const { first, second, runId, tasks } = await pair();
    await first.answerTask(tasks[0] as Task, learn);
    await first.owner.drain();
    await expect(first.answerTask(tasks[1] as Task, learn)).rejects.toMatchObject({ code: 'DRAINING' });
    await second.owner.start();
    await learnAll(second, tasks.slice(1));
    await learnAll(second, await dispatched(second, 2));
    expect((await second.finished(runId)).modelId).toBe(await undisturbed());
  });
});

describe('a paused owner', () => {
  /** `first` owns a run and is paused while it makes an answer durable; `second` takes the run over meanwhile. */
  const overtaken = async () => {
    const clock = new FakeClock();
    const stores = memoryStores();
    const { promise: woken, resolve: wake } = Promise.withResolvers<void>();
    let reached = false;
    const slow = withIntakes(stores, (intake) => ({
      append: async (part, content) => {
        const result = await intake.append(part, content);
        reached = true;
        await woken;
        return result;
      },
    }));
    const first = new World({ stores: slow, clock, owner: 'first' });
    const second = new World({ stores, clock, owner: 'second' }, first.peers);
    first.peers.setOnline(nodes);
    const { runId } = await first.start(bundle('fraction-evaluate = 0.0'));
    const tasks = await dispatched(first, 1);
    const late = first.answerTask(tasks[0] as Task, learn);
    late.catch(() => {});
    await eventually(() => reached);
    await second.owner.start();
    for (let i = 0; i < 4; i += 1) await clock.advance(5_000);
    await eventually(() => second.owner.owned(runId) !== undefined);
    await second.owner.owned(runId)?.ready;
    return { clock, first, second, runId, tasks, late, wake };
  };

  it('tells nobody that an answer is durable, and the node gets that from the new owner', async () => {
    const { second, runId, tasks, late, wake } = await overtaken();
    wake();
    await expect(late).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await learnAll(second, tasks);
    await learnAll(second, await dispatched(second, 2));
    const run = await second.finished(runId);
    expect(run.history.map((round) => round.accepted)).toEqual([3, 3]);
    expect(run.modelId).toBe(await undisturbed());
  });

  it('refuses nothing for good: what it believes to be closed may be open', async () => {
    const { first, tasks, wake } = await overtaken();
    wake();
    const other = { ...(tasks[0] as Task), taskId: 'unknown' };
    await expect(first.answerTask(other, learn)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('that nobody has replaced renews its lease before it tells', async () => {
    const clock = new FakeClock();
    const world = new World({ clock });
    world.peers.setOnline(nodes);
    const { runId } = await world.start(bundle('fraction-evaluate = 0.0'));
    const tasks = await dispatched(world, 1);
    const before = await world.stores.leases.get(runId);
    await clock.advance(60_000);
    expect(await world.answerTask(tasks[0] as Task, learn)).toMatchObject({ accepted: true });
    const after = await world.stores.leases.get(runId);
    expect(after?.revision).toBeGreaterThan(before?.revision ?? 0);
    expect(after?.epoch).toBe(before?.epoch);
  });
});

describe('a run of another volume', () => {
  const elsewhere = async (more: { abandonVolumeAfterMs?: number } = {}) => {
    const clock = new FakeClock();
    const stores = memoryStores();
    const first = new World({ stores, clock, owner: 'first', volume: 'lost' });
    const second = new World(
      // what nodes sent to the first is on its own disk
      {
        stores: { ...stores, intakes: new MemoryIntakes(stores.models as MemoryModels) },
        clock,
        owner: 'second',
        volume: 'here',
        ...more,
      },
      first.peers,
    );
    first.peers.setOnline(nodes);
    const { runId } = await first.start(bundle('fraction-evaluate = 0.0'));
    const tasks = await dispatched(first, 1);
    await first.answerTask(tasks[0] as Task, learn);
    await second.owner.start();
    return { clock, first, second, runId, tasks };
  };
  const wait = async (clock: FakeClock, seconds: number) => {
    for (let passed = 0; passed < seconds; passed += 5) await clock.advance(5_000);
  };

  it('waits for its owner, however long', async () => {
    const { clock, second, runId } = await elsewhere();
    await wait(clock, 600);
    expect(second.owner.owned(runId)).toBeUndefined();
    expect((await second.stores.leases.get(runId))?.owner).toBe('first');
  });

  it('is taken from its owner at work by nobody', async () => {
    const { second, runId } = await elsewhere();
    await expect(second.owner.takeFromLostVolume(runId)).rejects.toMatchObject({ code: 'RUN_OWNED' });
    await expect(second.owner.takeFromLostVolume(4711n)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
  });

  it('begins its round anew when the operator says that the volume is lost', async () => {
    const { clock, second, runId, tasks } = await elsewhere();
    await wait(clock, 20);
    await second.owner.takeFromLostVolume(runId);
    const fresh = (await eventually(() => {
      const now = tasksOf(second).filter(({ taskId }) => !tasks.some((old) => old.taskId === taskId));
      return now.length === 3 ? now : false;
    })) as Task[];
    expect(second.peers.logOf(runId)).toContain(`the volume of run ${runId} is lost: round 1 begins anew`);
    await learnAll(second, fresh);
    await learnAll(second, await dispatched(second, 2));
    expect((await second.finished(runId)).modelId).toBe(await undisturbed());
  });

  it('begins its round anew by itself where the operator has allowed that', async () => {
    const { clock, second, runId } = await elsewhere({ abandonVolumeAfterMs: 60_000 });
    await wait(clock, 50);
    expect(second.owner.owned(runId)).toBeUndefined();
    await wait(clock, 20);
    await eventually(() => second.owner.owned(runId) !== undefined);
  });

  it('is not taken where its model is not: that would only end it', async () => {
    const { clock, first, second, runId } = await elsewhere();
    const { modelId } = first.owner.owned(runId)?.record() ?? {};
    await second.stores.models.remove(modelId ?? '');
    await wait(clock, 20);
    await expect(second.owner.takeFromLostVolume(runId)).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
    expect((await second.stores.leases.get(runId))?.owner).toBe('first');
  });
});

describe('an outage', () => {
  /** Fails the first `times` writes of the round document. */
  const flaky = (rounds: RoundStore, times: number): RoundStore => {
    let left = times;
    return {
      ...rounds,
      get: (runId) => rounds.get(runId),
      delete: (runId) => rounds.delete(runId),
      save: (state, revision) =>
        left-- > 0 ? Promise.reject(new AegisError('STORE_UNAVAILABLE')) : rounds.save(state, revision),
    };
  };

  it('of the documents makes a run later, not different', async () => {
    const stores = memoryStores();
    const world = new World({ stores: { ...stores, rounds: flaky(stores.rounds, 2) } });
    world.peers.setOnline(nodes);
    world.answerWith(learn);
    const { runId } = await world.start(bundle('fraction-evaluate = 0.0'));
    expect((await world.finished(runId)).modelId).toBe(await undisturbed());
  });

  it('of the mailbox keeps tasks until they can be delivered', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    const put = world.peers.mailbox.put;
    let failures = 1;
    Object.assign(world.peers.mailbox, {
      put: (tasks: readonly Task[]) =>
        failures-- > 0 ? Promise.reject(new AegisError('STORE_UNAVAILABLE')) : put(tasks),
    });
    world.answerWith(learn);
    const { runId } = await world.start(bundle());
    expect((await world.finished(runId)).run?.status?.subStatus).toBe('completed');
  });

  it('of the disk refuses answers with a reason to try again, and then takes them', async () => {
    let full = true;
    const stores = withIntakes(memoryStores(), (intake) => ({
      record: (accepted) => (full ? Promise.reject(new AegisError('DISK_FULL')) : intake.record(accepted)),
      append: (part, content) => intake.append(part, content),
    }));
    const warnings: Record<string, unknown>[] = [];
    const warn = (fields: object | string) => void warnings.push(fields as Record<string, unknown>);
    const log = { ...silentLogger, warn };
    const world = new World({ stores, log });
    world.peers.setOnline(nodes);
    const { runId } = await world.start(bundle('fraction-evaluate = 0.0'));
    const tasks = await dispatched(world, 1);
    for (let tries = 0; tries < 3; tries += 1)
      await expect(world.answerTask(tasks[0] as Task, learn)).rejects.toMatchObject({ code: 'DISK_FULL' });
    // told once, in the run's log and in ours, with what to do
    const told = world.peers.logOf(runId).filter((line) => line.startsWith('DISK_FULL: '));
    expect(told).toEqual([expect.stringContaining('free space')]);
    expect(warnings.filter(({ code }) => code === 'DISK_FULL')).toEqual([
      expect.objectContaining({ runId, todo: expect.stringContaining('free space') }),
    ]);
    full = false;
    await learnAll(world, tasks);
    await learnAll(world, await dispatched(world, 2));
    expect((await world.finished(runId)).modelId).toBe(await undisturbed());
  });

  it('of the disk while a round finishes is waited for', async () => {
    let failures = 1;
    const stores = withIntakes(memoryStores(), (intake) => ({
      writeMean: () => (failures-- > 0 ? Promise.reject(new AegisError('DISK_FULL')) : intake.writeMean()),
    }));
    const world = new World({ stores });
    world.peers.setOnline(nodes);
    world.answerWith(learn);
    const { runId } = await world.start(bundle('fraction-evaluate = 0.0'));
    expect((await world.finished(runId)).modelId).toBe(await undisturbed());
  });

  it('that is a fault fails the run and says so', async () => {
    const stores = withIntakes(memoryStores(), () => ({ writeMean: () => Promise.reject(new Error('a bug')) }));
    const world = new World({ stores });
    world.peers.setOnline(nodes);
    world.answerWith(learn);
    const { runId } = await world.start(bundle());
    expect((await world.finished(runId)).run?.status).toMatchObject({
      subStatus: 'failed',
      details: expect.stringContaining('Something failed'),
    });
  });
});

/** The same stores, with some methods of every intake replaced. */
function withIntakes(stores: Stores, replace: (intake: RoundIntake) => Partial<RoundIntake>): Stores {
  const intakes: IntakeStore = {
    open: async (room, model, epoch) => {
      const intake = await stores.intakes.open(room, model, epoch);
      return new Proxy(intake, {
        get: (target, name) => {
          const replaced = replace(target)[name as keyof RoundIntake];
          const value = replaced ?? target[name as keyof RoundIntake];
          return typeof value === 'function' && replaced === undefined ? value.bind(target) : value;
        },
      });
    },
    remove: (room, epoch) => stores.intakes.remove(room, epoch),
    runs: () => stores.intakes.runs(),
    removeRun: (runId) => stores.intakes.removeRun(runId),
  };
  return { ...stores, intakes };
}
