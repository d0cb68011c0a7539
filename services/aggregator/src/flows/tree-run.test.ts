// Private runs with noise of a tree (DP-FTRL) on in-memory stores: who is asked how often, what is charged, and what a crash at any write leaves.
import { eventually, FakeClock, seededRandom } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import type { Task } from '../peers/contract.ts';
import { MemoryPeers } from '../peers/memory/index.ts';
import type { MemoryLedger } from '../peers/memory/ledger.ts';
import { memoryStores } from '../store/memory/index.ts';
import { normalOf } from '../store/memory/normal.ts';
import { writeNpy, writeNpz } from '../store/memory/npy.ts';
import { fab } from '../testing/bundles.ts';
import { Life, mortalPeers, mortalStores } from '../testing/mortal.ts';
import { type Arrays, f4, type Reply, readModelArrays } from '../testing/simulated-node.ts';
import { World, type WorldOptions } from '../testing/world.ts';

const initial = writeNpz([{ name: 'w', npy: writeNpy(f4([2], [1, 1])) }]);
const bundle = (rounds: number, lines = '') =>
  fab({
    config: `num-server-rounds = ${rounds}
min-train-nodes = 2
min-available-nodes = 2
fraction-train = 0.1
fraction-evaluate = 0.0
aegis.initial-model = "file:init.npz"
aegis.privacy.unit = "node"
aegis.privacy.clip = 3
aegis.privacy.mechanism = "tree"
${lines.includes('noise-multiplier') ? '' : 'aegis.privacy.noise-multiplier = 1e-4\naegis.privacy.epsilon = 1e12'}
${lines}`,
    extra: [{ name: 'init.npz', content: initial }],
  });

const worldOf = (count: number, options: WorldOptions & { ledger?: MemoryLedger } = {}): World => {
  const world = new World(options, new MemoryPeers(options.ledger));
  const nodes = Array.from({ length: count }, (_, at) => BigInt(at + 1));
  for (const node of nodes) world.peers.units.set(node, `k-${node}`);
  world.peers.setOnline(nodes);
  return world;
};
/** All nodes do the same, so that it does not matter who was drawn. */
const learn = (_task: Task, model: Arrays): Reply => ({
  arrays: {
    w: f4(
      [2],
      (model.w?.values ?? []).map((value, at) => value + (at === 0 ? 1 : 0)),
    ),
  },
  weight: 1,
});
/** Answers, and remembers who was asked in which round. */
const asking = (world: World): Map<bigint, Set<number>> => {
  const asked = new Map<bigint, Set<number>>();
  world.answerWith((task, model) => {
    asked.set(task.nodeId, (asked.get(task.nodeId) ?? new Set()).add(task.round));
    return learn(task, model);
  });
  return asked;
};
const roundsOf = (asked: ReadonlyMap<bigint, ReadonlySet<number>>): number[] =>
  [...asked.values()].map((rounds) => rounds.size).sort();
const weights = async (world: World, modelId: string): Promise<number[]> => [
  ...((await readModelArrays(world.channel, modelId)).w?.values ?? []),
];

describe('a run with tree noise', () => {
  it('asks everybody once, moves by the mean of each round, and pays for the tree', async () => {
    const world = worldOf(8);
    const asked = asking(world);
    const { runId, note } = await world.start(bundle(4));
    expect(note).toMatch(/noise of one tree: 2 units are asked in each round, .*; 8 units are needed/);
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(roundsOf(asked)).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
    expect(await weights(world, run.modelId)).toEqual([expect.closeTo(5, 2), expect.closeTo(1, 2)]);
    const { ledger } = world.peers;
    expect(ledger.deeds.map(({ did, key }) => `${did} ${key.split('/')[1]}`)).toEqual(
      [1, 2, 3, 4].flatMap((round) => [`reserve ${round}`, `commit ${round}`]),
    );
    // three nodes of the tree, in round 1 as after all of them
    const epsilons = run.history.map(({ privacy }) => privacy?.epsilon);
    expect(new Set(epsilons).size).toBe(1);
    const rho = 3 / (2 * 1e-4 ** 2);
    expect(epsilons[0]).toBeCloseTo(rho + 2 * Math.sqrt(rho * Math.log(1e5)), 3);
  });

  it('asks again in another tree, as often as the plan says', async () => {
    const world = worldOf(4);
    const asked = asking(world);
    const run = await world.finished((await world.start(bundle(6, 'aegis.privacy.max-participations = 3'))).runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(roundsOf(asked)).toEqual([3, 3, 3, 3]);
    for (const rounds of asked.values())
      expect([...rounds].map((round) => Math.floor((round - 1) / 2)).sort()).toEqual([0, 1, 2]);
  });

  it('ends, and says what would fit, when too few may still take part', async () => {
    const world = worldOf(5);
    const asked = asking(world);
    const run = await world.finished((await world.start(bundle(4))).runId);
    expect(run.run?.status).toMatchObject({
      subStatus: 'failed',
      details: expect.stringMatching(
        /^round 3\/4, train got no further: 1 of the 5 units online may still take part and 2 are needed: .* enrol 8 for this plan/,
      ),
    });
    expect(run.history).toHaveLength(2);
    expect(roundsOf(asked)).toEqual([1, 1, 1, 1]);
  });

  it('counts who did not answer, and waits for others when too few are online', async () => {
    const clock = new FakeClock();
    const world = worldOf(2, { clock });
    const { runId } = await world.start(bundle(1, 'aegis.selection.deadline = 5.0'));
    await eventually(() => expect(world.peers.tasks.size).toBe(2));
    world.peers.setOnline([]);
    await eventually(async () =>
      expect(world.peers.logOf(runId).join()).toMatch(/waiting for nodes: 0 online, 2 needed/),
    );
    const asked = asking(world);
    for (const node of [3n, 4n]) world.peers.units.set(node, `k-${node}`);
    world.peers.setOnline([1n, 3n, 4n]);
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect([...asked.keys()].sort()).toEqual([3n, 4n]);
  });

  it('is refused where the budget does not cover the tree, before anybody is asked', async () => {
    const world = worldOf(8);
    const lines = 'aegis.privacy.noise-multiplier = 1.0\naegis.privacy.epsilon = 1.0';
    await expect(world.start(bundle(4, lines))).rejects.toMatchObject({
      code: 'PRIVACY_BUDGET_EXHAUSTED',
      message: expect.stringMatching(/asked for 9\.\d+ in all, 1 is/),
    });
    expect(world.peers.tasks.size).toBe(0);
  });

  it('ends where the volume with its secret is lost, and asks nobody twice', async () => {
    const clock = new FakeClock();
    const world = worldOf(8, { clock, owner: 'first', volume: 'lost' });
    const asked = new Map<bigint, number>();
    const answering = (to: World, until: number) => {
      to.peers.onTask = (task) => {
        asked.set(task.nodeId, (asked.get(task.nodeId) ?? 0) + 1);
        if (task.round <= until) void to.answerTask(task, learn).catch(() => {});
      };
    };
    answering(world, 1);
    const { runId } = await world.start(bundle(3));
    await eventually(() => expect([...world.peers.tasks.values()].map(({ round }) => round)).toEqual([2, 2]));
    await world.owner.drain();
    // models are elsewhere; what nodes sent, and the secret, were on the volume
    await world.stores.intakes.removeRun(runId);
    const second = new World({ stores: world.stores, clock, owner: 'second', volume: 'here' }, world.peers);
    answering(second, 3);
    await second.owner.takeFromLostVolume(runId);
    const run = await second.finished(runId);
    expect(run.run?.status).toMatchObject({
      subStatus: 'failed',
      details: expect.stringMatching(/secret of the run's tree noise is gone/),
    });
    expect(run.history).toHaveLength(1);
    expect([...asked.values()]).toEqual([1, 1, 1, 1, 1, 1]);
  });
});

describe('a crash of a run with tree noise', () => {
  const ROUNDS = 3;
  /** One history of noise for all, so that models can be compared to the bit. */
  const crashed = async (dieAt: number, when: 'before' | 'after') => {
    const world = worldOf(2 * ROUNDS, { stores: memoryStores(normalOf(seededRandom(7))) });
    const all = { world, life: new Life(dieAt, when), asked: new Map<bigint, Set<number>>() };
    const answer = (task: Task) => void eventually(() => all.world.answerTask(task, learn)).catch(() => {});
    world.peers.onTask = (task) => {
      all.asked.set(task.nodeId, (all.asked.get(task.nodeId) ?? new Set()).add(task.round));
      answer(task);
    };
    Object.assign(world.ground, {
      stores: mortalStores(world.stores, all.life),
      peers: mortalPeers(world.peers, all.life),
    });
    const next = all.life.ending.catch(async () => {
      all.world = new World({ stores: world.stores }, world.peers);
      await all.world.owner.start();
      // whoever had no answer from the one that died tries again
      for (const task of world.peers.tasks.values()) answer(task);
    });
    const lines = 'aegis.privacy.noise-multiplier = 1.0\naegis.privacy.epsilon = 100.0';
    const started = world.start(bundle(ROUNDS, lines)).then(({ runId }) => runId);
    const runs = world.stores.runs;
    const runId = await Promise.race([started, next.then(async () => (await runs.list())[0]?.runId ?? null)]);
    if (runId === null) return { died: true, all, run: null };
    const ended = world.finished(runId).catch(() => null);
    const run = await Promise.race([ended, next.then(() => all.world.finished(runId))]);
    return { died: all.world !== world, all, run };
  };

  it.each(['before', 'after'] as const)(
    'at any write, %s it: the same bits, and nobody twice',
    async (when) => {
      const whole = await crashed(0, when);
      const models = whole.run?.history.map(({ modelId }) => modelId) ?? [];
      expect(new Set(models).size).toBe(ROUNDS);
      let writes = 0;
      for (let dieAt = 1; ; dieAt += 1) {
        const { died, all, run } = await crashed(dieAt, when);
        if (run !== null) {
          const of = `crash ${when} write ${dieAt}`;
          expect(run?.run?.status, of).toMatchObject({ subStatus: 'completed' });
          expect(
            run?.history.map(({ modelId }) => modelId),
            of,
          ).toEqual(models);
          for (const [node, rounds] of all.asked) expect([node, rounds.size], of).toEqual([node, 1]);
          const { deeds } = all.world.peers.ledger;
          expect(
            deeds.filter(({ did }) => did === 'commit').map(({ digest }) => digest),
            of,
          ).toEqual(models);
          // it may die while it puts a finished run in order; the dead do not drain
          await Promise.race([all.world.owner.drain(), all.life.ending.catch(() => {})]);
        }
        if (!died) break;
        writes = dieAt;
      }
      expect(writes).toBeGreaterThan(30);
    },
    120_000,
  );
});
