// Private runs on in-memory stores and a small ledger: what is paid for, when, and what a crash between any two steps leaves.
import { IntakeService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { AegisError } from '@aegis/errors';
import { eventually, FakeClock } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { integer, real } from '../domain/scalar.ts';
import type { Task } from '../peers/contract.ts';
import { MemoryPeers } from '../peers/memory/index.ts';
import { MemoryLedger } from '../peers/memory/ledger.ts';
import { writeNpy, writeNpz } from '../store/memory/npy.ts';
import { fab } from '../testing/bundles.ts';
import { type Arrays, f4, type Reply, readModelArrays } from '../testing/simulated-node.ts';
import { World, type WorldOptions } from '../testing/world.ts';

const nodes = [1n, 2n, 3n];
const initial = writeNpz([{ name: 'w', npy: writeNpy(f4([2], [1, 1])) }]);
/** So little noise that sums can be read, and a budget that does not mind. */
const quiet = 'aegis.privacy.noise-multiplier = 1e-4\naegis.privacy.epsilon = 1e12';
const bundle = (lines: string, rounds = 1, clip = 3, evaluate = 0, unit = 'node') =>
  fab({
    config: `num-server-rounds = ${rounds}
min-available-nodes = 3
fraction-evaluate = ${evaluate.toFixed(1)}
aegis.initial-model = "file:init.npz"
aegis.privacy.unit = "${unit}"
aegis.privacy.clip = ${clip}
${lines}`,
    extra: [{ name: 'init.npz', content: initial }],
  });

const worldOf = (options: WorldOptions & { ledger?: MemoryLedger } = {}): World => {
  const world = new World(options, new MemoryPeers(options.ledger));
  for (const node of nodes) world.peers.units.set(node, `k-${node}`);
  world.peers.setOnline(nodes);
  return world;
};
const start = async (world: World, lines = quiet, rounds?: number): Promise<bigint> =>
  (await world.start(bundle(lines, rounds))).runId;

/** Moves the first weight by the node's number, and says that it has seen as many examples. */
const learn = (task: Task, model: Arrays): Reply => ({
  arrays: {
    w: f4(
      [2],
      (model.w?.values ?? []).map((value, i) => value + (i === 0 ? Number(task.nodeId) : 0)),
    ),
  },
  metrics: [{ key: 'loss', value: real(0.5) }],
  weight: Number(task.nodeId),
});
const tasksOf = (world: World, count: number): Promise<Task[]> =>
  eventually(() => {
    const tasks = [...world.peers.tasks.values()].sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
    return tasks.length === count ? tasks : Promise.reject(new Error(`${tasks.length} tasks`));
  });
const weights = async (world: World, modelId: string): Promise<number[]> => [
  ...((await readModelArrays(world.channel, modelId)).w?.values ?? []),
];
const deeds = (world: World): string[] =>
  world.peers.ledger.deeds.map(({ did, key }) => `${did} ${key.split('/').slice(1).join('/')}`);

describe('a private run', () => {
  it('adds clipped updates of equal weight, divides by those selected, and says what that cost', async () => {
    const world = worldOf();
    world.answerWith(learn);
    const run = await world.finished(await start(world));
    // 1 + (1 + 2 + 3) / 3
    expect(await weights(world, run.modelId)).toEqual([expect.closeTo(3, 2), expect.closeTo(1, 2)]);
    expect(deeds(world)).toEqual(['reserve 1/1/train', 'commit 1/1/train']);
    expect(world.peers.ledger.deeds[1]?.digest).toBe(run.modelId);
    expect(run.privacy).toMatchObject({
      unit: 'node',
      epsilonBudget: 1e12,
      sampling: 'none',
      clip: 3,
      noiseMultiplier: 1e-4,
    });
    expect(run.history[0]?.privacy).toMatchObject({ clip: 3, epsilon: run.privacy?.epsilon, delta: 1e-5 });
    expect(run.privacy?.epsilon).toBeGreaterThan(0);
  });

  it('clips what is longer, and weighs up to the bound that the plan declares', async () => {
    const world = worldOf();
    world.answerWith(learn);
    const clipped = await world.finished((await world.start(bundle(quiet, 1, 2))).runId);
    // of 1, 2 and 3 the last is longer than 2
    expect((await weights(world, clipped.modelId))[0]).toBeCloseTo(1 + (1 + 2 + 2) / 3, 2);
    const weighed = await world.finished(await start(world, `${quiet}\naegis.privacy.weight-max = 2`));
    // weights 1, 2 and 3 count 1/2, 1 and 1
    expect((await weights(world, weighed.modelId))[0]).toBeCloseTo(1 + (0.5 + 2 + 3) / 3, 2);
  });

  it('asks one node of each user, charges the user once, and waits for users, not for nodes', async () => {
    const world = worldOf();
    world.answerWith(learn);
    const charged: (readonly string[])[] = [];
    const reserve = world.peers.ledger.reserve.bind(world.peers.ledger);
    world.peers.ledger.reserve = (request) => {
      charged.push(request.units);
      return reserve(request);
    };
    world.peers.users.set(1n, 'k-ada').set(2n, 'k-ada').set(3n, 'k-bob');
    const { runId } = await world.start(bundle(quiet, 4, 3, 0, 'user'));
    await eventually(async () =>
      expect(world.peers.logOf(runId)).toContainEqual(
        'round 1/4, train: waiting for nodes: 2 online (and 1 more of the same users), 3 needed',
      ),
    );
    world.peers.users.set(4n, 'k-cleo');
    world.peers.setOnline([...nodes, 4n]);
    const run = await world.finished(runId);
    expect(charged).toEqual(Array.from({ length: 4 }, () => ['k-ada', 'k-bob', 'k-cleo']));
    expect(run.history.map(({ cohort, accepted }) => [cohort, accepted])).toEqual(
      Array.from({ length: 4 }, () => [3, 3]),
    );
    expect(run.privacy).toMatchObject({ unit: 'user' });
  });

  it('pays before it asks', async () => {
    const world = worldOf();
    const before: number[] = [];
    world.peers.onTask = () => void before.push(world.peers.ledger.deeds.length);
    await start(world);
    await tasksOf(world, 3);
    expect(before).toEqual([1, 1, 1]);
  });

  it('takes the smallest noise that the budget allows when told "auto", and says so', async () => {
    const world = worldOf();
    world.answerWith(learn);
    const { runId, note } = await world.start(bundle('aegis.privacy.epsilon = 2.0', 3));
    expect(note).toMatch(/noise multiplier 4\.329 in each round, ε 2 after all 3 rounds/);
    const run = await world.finished(runId);
    expect(run.privacy?.epsilon).toBeCloseTo(2, 6);
    expect(run.history.map(({ privacy }) => Math.floor((privacy?.left ?? 0) * 100))).toEqual([43, 18, 0]);
    expect(world.peers.logOf(runId)).toContainEqual(
      expect.stringMatching(
        /^round 1\/3: privacy ε 1\.13\d so far \(δ 0.00001\), 43 % of the run's budget left; clip 3/,
      ),
    );
  });

  it('charges the part of the data set that its nodes belong to', async () => {
    const ledger = new MemoryLedger();
    const asked: (string | undefined)[] = [];
    const reserve = ledger.reserve.bind(ledger);
    ledger.reserve = (request) => {
      asked.push(request.policy.partition);
      return reserve(request);
    };
    const world = worldOf({ ledger });
    world.answerWith(learn);
    await world.finished(await start(world, `${quiet}\naegis.privacy.partition = "east"`));
    await world.finished(await start(world));
    expect(asked).toEqual(['east', undefined]);
  });

  it('asks nobody to evaluate unless told that metrics may travel in the clear', async () => {
    const world = worldOf();
    world.answerWith(learn);
    const run = await world.finished((await world.start(bundle(quiet, 1, 3, 1))).runId);
    expect(run.history[0]).toMatchObject({ evaluated: 0, evaluateMetrics: [] });
  });

  it('tells of an evaluation in the clear only what is not about one node', async () => {
    const world = worldOf();
    const diverged = (task: Task): number => (task.nodeId === 1n ? Number.NaN : Number(task.nodeId));
    world.answerWith((task, model) => ({
      ...learn(task, model),
      weight: 1,
      metrics: [
        { key: 'loss', value: real(diverged(task)) },
        { key: 'rare', value: real(task.nodeId === 3n ? 0.5 : Number.NaN) },
      ],
    }));
    const lines = `${quiet}\naegis.privacy.evaluation = "clear"`;
    const { runId } = await world.start(bundle(lines, 1, 3, 1));
    const run = await world.finished(runId);
    expect(run.history[0]).toMatchObject({
      evaluated: 3,
      evaluateMetrics: [{ key: 'loss', value: { value: { $case: 'real', value: 2.5 } } }],
    });
    expect(world.peers.logOf(runId).join('\n')).not.toMatch(/of node/);
  });

  it('goes on with drop-outs, and divides by all it selected', async () => {
    const world = worldOf();
    const runId = await start(world);
    const [one, two] = await tasksOf(world, 3);
    await world.answerTask(one as Task, learn);
    await world.answerTask(two as Task, learn);
    world.peers.setOnline([1n, 2n]);
    const run = await world.finished(runId);
    expect(run.history[0]).toMatchObject({ cohort: 3, accepted: 2, dropped: 1 });
    expect((await weights(world, run.modelId))[0]).toBeCloseTo(1 + (1 + 2) / 3, 2);
  });

  it('keeps no metrics of training, and no words of a node that failed', async () => {
    const world = worldOf();
    const runId = await start(world);
    const [one, two, three] = await tasksOf(world, 3);
    await world.answerTask(one as Task, learn);
    await world.answerTask(two as Task, learn);
    await world.channel.client(IntakeService).failTask({ task: three, code: 2, reason: 'ValueError: patient 17' });
    const run = await world.finished(runId);
    expect(run.history[0]?.trainMetrics).toEqual([]);
    expect(world.peers.logOf(runId).join('\n')).not.toContain('patient');
    expect(world.peers.logOf(runId).join('\n')).not.toContain('loss');
  });

  it('asks nobody who cannot be charged', async () => {
    const world = worldOf();
    world.peers.units.delete(3n);
    world.peers.setOnline([1n, 2n, 3n, 4n]);
    const runId = await start(world);
    await eventually(() =>
      world.peers.logOf(runId).some((line) => line.includes('waiting for nodes: 2 online, 3 needed'))
        ? Promise.resolve()
        : Promise.reject(new Error('not waiting')),
    );
    expect(world.peers.tasks.size).toBe(0);
    world.peers.units.set(4n, 'k-4');
    world.peers.setOnline([1n, 2n, 4n]);
    expect((await tasksOf(world, 3)).map(({ nodeId }) => nodeId)).toEqual([1n, 2n, 4n]);
  });

  it('fails closed when two gateways name units under different keys', async () => {
    const world = worldOf();
    world.peers.units.set(3n, 'other-3');
    const run = await world.finished(await start(world));
    expect(run.run?.status).toMatchObject({
      subStatus: 'failed',
      details: expect.stringContaining('2 different keys (k, other)'),
    });
    expect(deeds(world)).toEqual([]);
  });
});

describe('a budget', () => {
  it('refuses before the first message what does not fit, with the arithmetic', async () => {
    const world = worldOf();
    await expect(
      start(world, 'aegis.privacy.noise-multiplier = 0.5\naegis.privacy.epsilon = 1.0'),
    ).rejects.toMatchObject({
      code: 'PRIVACY_BUDGET_EXHAUSTED',
      message: expect.stringMatching(/asked for 11\.\d+ in all, 1 is/),
    });
    expect(world.peers.tasks.size).toBe(0);
  });

  it('stops a run in the middle when another has taken what was left', async () => {
    const ledger = new MemoryLedger({ epsilonOfDataset: 2.5 });
    const world = worldOf({ ledger });
    const lines = 'aegis.privacy.epsilon = 2.0';
    const first = await start(world, lines, 2);
    await tasksOf(world, 3);
    world.answerWith(learn);
    const second = await start(world, lines, 2);
    const ended = await Promise.all([
      world.finished(second),
      (async () => {
        for (const task of world.peers.tasks.values()) if (task.runId === first) await world.answerTask(task, learn);
        return world.finished(first);
      })(),
    ]);
    const outcomes = ended.map(({ run }) => run?.status?.subStatus).sort();
    expect(outcomes).toEqual(['completed', 'failed']);
    const failed = ended.find(({ run }) => run?.status?.subStatus === 'failed');
    expect(failed?.run?.status?.details).toMatch(/data set default: asked for 2\.87\d in all, 2.5 is the budget/);
    // what it had released stands
    expect(failed?.history).toHaveLength(1);
  });

  it('refuses a private run where there is no ledger', async () => {
    const peers = Object.assign(new MemoryPeers(), { ledger: null as never });
    const world = new World({}, peers);
    await expect(start(world)).rejects.toMatchObject({
      code: 'PLAN_INVALID',
      message: expect.stringContaining('without a privacy-accountant'),
    });
  });

  it('waits while the ledger is away, before anybody is asked and before anything is released', async () => {
    const clock = new FakeClock();
    const world = worldOf({ clock });
    const runId = await start(world);
    await tasksOf(world, 3);
    world.peers.ledger.outage = true;
    for (const task of [...world.peers.tasks.values()]) await world.answerTask(task, learn);
    await clock.advance(3_000);
    expect((await world.runs.listRuns({ runId, limit: 1, skip: 0 })).runs[0]?.history).toEqual([]);
    world.peers.ledger.outage = false;
    const done = world.finished(runId);
    await clock.advance(3_000);
    expect((await done).run?.status?.subStatus).toBe('completed');
  });
});

describe('nobody answers', () => {
  it('gives back what was reserved, and reserves anew for a second cohort', async () => {
    const clock = new FakeClock();
    const world = worldOf({ clock });
    const runId = await start(world, `${quiet}\naegis.selection.deadline = 5.0`);
    const first = await tasksOf(world, 3);
    await clock.advance(5_000);
    for (const node of nodes) world.peers.arrive(node);
    await eventually(async () => {
      const tasks = await tasksOf(world, 3);
      if (tasks[0]?.taskId === first[0]?.taskId) throw new Error('still the first');
    });
    expect(deeds(world)).toEqual(['reserve 1/1/train', 'release 1/1/train', 'reserve 1/2/train']);
    for (const task of [...world.peers.tasks.values()]) await world.answerTask(task, learn);
    await world.finished(runId);
    expect(deeds(world).at(-1)).toBe('commit 1/2/train');
  });

  it('of a secret cohort: releases noise, once, for what was reserved', async () => {
    const clock = new FakeClock();
    const world = worldOf({ clock });
    const lines = `${quiet}\naegis.selection.deadline = 5.0\naegis.selection.sampling = "poisson"`;
    const runId = await start(world, lines);
    await tasksOf(world, 3);
    await clock.advance(5_000);
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(deeds(world)).toEqual(['reserve 1/1/train', 'commit 1/1/train']);
    const [w] = await weights(world, run.modelId);
    expect(w).not.toBe(1);
    expect(w).toBeCloseTo(1, 2);
  });
});

describe('a secret cohort', () => {
  it('is charged to everybody who might have been in it, and shown to nobody', async () => {
    const world = worldOf();
    const reserved: (readonly string[])[] = [];
    const { ledger } = world.peers;
    const reserve = ledger.reserve.bind(ledger);
    ledger.reserve = (request) => {
      reserved.push(request.units);
      return reserve(request);
    };
    // each in its turn: in, out, in
    const coins = [0, 0.9, 0];
    const bytes = world.ground.random.bytes;
    Object.assign(world.ground.random, {
      bytes: (n: number) => {
        const coin = n === 8 ? coins.shift() : undefined;
        if (coin === undefined) return bytes(n);
        const drawn = Buffer.alloc(8);
        drawn.writeBigUInt64LE(BigInt(Math.floor(coin * 2 ** 53)) << 11n);
        return drawn;
      },
    });
    const runId = await start(world, `${quiet}\nfraction-train = 0.5\naegis.selection.sampling = "poisson"`);
    const tasks = await tasksOf(world, 2);
    expect(tasks.map(({ nodeId }) => nodeId)).toEqual([1n, 3n]);
    expect(reserved).toEqual([['k-1', 'k-2', 'k-3']]);
    const events = [];
    for (const task of tasks) await world.answerTask(task, learn);
    for await (const event of world.runs.watchRun({ runId })) events.push(event);
    expect(events.flatMap(({ nodes: shown }) => shown)).toEqual([]);
    const run = events.at(-1)?.run;
    expect(run?.history[0]).toMatchObject({ cohort: 0, accepted: 0, dropped: 0 });
    expect([run?.bytesSent, run?.bytesReceived]).toEqual([0n, 0n]);
    // 1 + (1 + 3) / (0.5 × 3): divided by what the plan expects, not by who came
    expect((await weights(world, run?.modelId ?? ''))[0]).toBeCloseTo(1 + 4 / 1.5, 2);
  });
});

describe('an adaptive clip', () => {
  it('moves towards the share of updates that it should leave alone, by a noised count', async () => {
    const world = worldOf();
    world.answerWith((task, model) => ({ ...learn(task, model), metrics: [{ key: 'norm_bit', value: integer(0) }] }));
    const lines = `aegis.privacy.noise-multiplier = 1e-3\naegis.privacy.epsilon = 1e12\naegis.privacy.adaptive-clip = true`;
    const run = await world.finished(await start(world, lines, 2));
    // nobody is longer than 3: C · exp(−0.2 · (1 − 0.5))
    expect(run.history.map(({ privacy }) => privacy?.clip)).toEqual([3, expect.closeTo(3 * Math.exp(-0.1), 2)]);
    expect(world.peers.logOf(run.run?.runId ?? 0n).join('\n')).not.toContain('norm_bit');
  });
});

describe('a crash', () => {
  /** Ends the aggregator at the n-th call of a kind, before or after the ledger has heard it, and starts another on the same state. */
  const crashAt = async (what: 'reserve' | 'commit', when: 'before' | 'after') => {
    const world = worldOf();
    const { ledger } = world.peers;
    const call = ledger[what].bind(ledger) as (request: never) => Promise<never>;
    const crashed = Promise.withResolvers<void>();
    Object.assign(ledger, {
      [what]: async (request: never) => {
        if (when === 'after') await call(request);
        Object.assign(ledger, { [what]: call });
        crashed.resolve();
        throw new AegisError('UNAVAILABLE', 'its answer never came');
      },
    });
    const runId = await start(world);
    const answerAll = async (to: World) => {
      for (const task of await tasksOf(to, 3)) await to.answerTask(task, learn).catch(() => {});
    };
    if (what === 'commit') await answerAll(world);
    await crashed.promise;
    const next = await world.restart();
    if (what === 'reserve') await answerAll(next);
    return { world: next, run: await next.finished(runId) };
  };

  it.each([
    ['reserve', 'before'],
    ['reserve', 'after'],
    ['commit', 'before'],
    ['commit', 'after'],
  ] as const)('at %s, %s the ledger heard it: one reservation, one release, the same bits', async (what, when) => {
    const { world, run } = await crashAt(what, when);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(deeds(world)).toEqual(['reserve 1/1/train', 'commit 1/1/train']);
    expect(world.peers.ledger.deeds.at(-1)?.digest).toBe(run.modelId);
  });

  it('between commit and checkpoint: the noise is not drawn again', async () => {
    const world = worldOf();
    const save = world.stores.runs.save.bind(world.stores.runs);
    const crashed = Promise.withResolvers<void>();
    let fails = true;
    world.stores.runs.save = async (run, revision) => {
      if (run.history.length > 0 && fails) {
        crashed.resolve();
        throw new AegisError('STORE_UNAVAILABLE', 'it died here');
      }
      return save(run, revision);
    };
    world.answerWith(learn);
    const runId = await start(world);
    await crashed.promise;
    const committed = world.peers.ledger.deeds.at(-1)?.digest;
    const restarting = world.restart();
    fails = false;
    const run = await (await restarting).finished(runId);
    expect(run.modelId).toBe(committed);
    expect(deeds(world)).toEqual(['reserve 1/1/train', 'commit 1/1/train']);
  });

  it('after which the volume is lost: what was reserved stays spent, and the round is paid for again', async () => {
    const clock = new FakeClock();
    const world = worldOf({ clock, owner: 'first', volume: 'lost' });
    const runId = await start(world, `${quiet}`);
    const firstTasks = await tasksOf(world, 3);
    await world.owner.drain();
    const options = { stores: world.stores, clock, owner: 'second', volume: 'here' };
    const second = new World(options, world.peers);
    await second.owner.takeFromLostVolume(runId);
    await eventually(async () => {
      const tasks = await tasksOf(second, 3);
      if (tasks[0]?.taskId === firstTasks[0]?.taskId) throw new Error('still the first');
    });
    expect(deeds(second)).toEqual(['reserve 1/1/train', 'reserve 1/2/train']);
    for (const task of [...second.peers.tasks.values()]) await second.answerTask(task, learn);
    await second.finished(runId);
    expect(deeds(second).at(-1)).toBe('commit 1/2/train');
  });
});
