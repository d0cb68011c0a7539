// Whole runs under Flower's own SecAgg+: the aggregator with the core's arithmetic on stores in memory, and the real mod as nodes. Whoever drops
// out at whatever stage, and wherever the aggregator dies, the model is the mean of those who delivered, and nobody is asked for both secrets.
import { createHash } from 'node:crypto';
import { type FlowerAnswer, IntakeService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { AegisError } from '@aegis/errors';
import {
  decodeConfigRecord,
  encodeConfigRecord,
  readSecaggplusAnswer,
  type SecaggplusAnswer,
  secaggplusEntries,
} from '@aegis/flower-wire';
import { eventually, FakeClock, recordingTelemetry } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Stage } from '../../services/aggregator/src/domain/flower-secagg/answer.ts';
import { real, text } from '../../services/aggregator/src/domain/scalar.ts';
import type { Task } from '../../services/aggregator/src/peers/contract.ts';
import { writeNpy, writeNpz } from '../../services/aggregator/src/store/memory/npy.ts';
import { fab, legacyApp } from '../../services/aggregator/src/testing/bundles.ts';
import { Life, mortalPeers, mortalStores } from '../../services/aggregator/src/testing/mortal.ts';
import { f4, readModelArrays } from '../../services/aggregator/src/testing/simulated-node.ts';
import { World, type WorldOptions } from '../../services/aggregator/src/testing/world.ts';
import { pythonOf, StockNodes } from './stock-secagg-nodes.ts';

const nodes = [5n, 9n, 2n ** 63n + 3n, 77n, 12345678901234567890n];
const initial = writeNpz([
  { name: '0', npy: writeNpy(f4([3], [0, 0, 0])) },
  { name: '1', npy: writeNpy(f4([], [0])) },
]);
const bundle = (lines = '', rounds = 1) =>
  fab({
    source: legacyApp,
    config: `num-server-rounds = ${rounds}
fraction-evaluate = 0.0
min-train-nodes = 3
min-available-nodes = 5
aegis.initial-model = "file:init.npz"
aegis.secagg.mode = "flower"
aegis.secagg.reconstruction-threshold = 3
aegis.secagg.max-weight = 200
${lines}`,
    extra: [{ name: 'init.npz', content: initial }],
  });

/** The node never answers from its n-th task of this stage on. */
type Silent = (node: bigint, stage: Stage) => boolean;

interface Held {
  world: World;
  life: Life;
  readonly tasks: Task[];
}

let stock: StockNodes;
beforeAll(async () => {
  stock = await new StockNodes(await pythonOf('1.41.0')).begin();
  // places are given in this order
  const setup = {
    sampleNum: 5,
    shareNum: 5,
    threshold: 3,
    clippingRange: 8,
    targetRange: 4,
    modRange: 64,
    maxWeight: 1,
  };
  for (const node of nodes) await stock.ask(node, encodeConfigRecord(secaggplusEntries({ stage: 'setup', ...setup })));
}, 600_000);
afterAll(() => stock.end());

const placeOf = (node: bigint): number => nodes.indexOf(node) + 1;
const meanOf = (delivered: readonly bigint[]): number => {
  const weights = delivered.map((node) => 10 * placeOf(node));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return delivered.reduce((sum, node, at) => sum + ((weights[at] ?? 0) * placeOf(node)) / 8, 0) / total;
};

/** Hands in what the mod said, as a gateway does. */
async function handIn(world: World, task: Task, said: SecaggplusAnswer): Promise<void> {
  const intake = world.channel.client(IntakeService);
  const arrays: { slices: { partId: string; offset: bigint; length: bigint }[] }[] = [];
  if (said.stage === 'collect_masked_vectors') {
    for (const array of said.arrays) {
      const partId = createHash('sha256').update(array).digest('hex');
      await intake.appendPart({ task, partId, content: array });
      arrays.push({ slices: [{ partId, offset: 0n, length: BigInt(array.length) }] });
    }
  }
  const says: Record<Stage, () => NonNullable<FlowerAnswer['says']>> = {
    setup: () => ({ $case: 'setup', value: { nodeId: 0n, ...(said as SecaggplusAnswer & { stage: 'setup' }) } }),
    share_keys: () => {
      const { sealed } = said as SecaggplusAnswer & { stage: 'share_keys' };
      const wire = sealed.map(({ to, ciphertext }) => ({ nodeId: to, ciphertext }));
      return { $case: 'shareKeys', value: { sealed: wire } };
    },
    collect_masked_vectors: () => ({ $case: 'collect', value: { arrays } }),
    unmask: () => {
      const { openings } = said as SecaggplusAnswer & { stage: 'unmask' };
      return { $case: 'unmask', value: { openings: openings.map(({ of, share }) => ({ nodeId: of, share })) } };
    },
  };
  const trained = said.stage === 'collect_masked_vectors';
  const metrics = [{ key: 'loss', value: { value: { $case: 'real' as const, value: placeOf(task.nodeId) } } }];
  const verdict = await intake.submitUpdate({
    task,
    tensors: [],
    metrics: trained ? metrics : [],
    weight: trained ? 10 * placeOf(task.nodeId) : undefined,
    runtimeSeconds: 0.1,
    masked: [],
    flower: { says: says[said.stage]() },
  });
  if (!verdict.accepted) throw new Error(`${said.stage} of ${task.nodeId}: ${verdict.refusal}`);
}

function compat(silent: Silent = () => false, options: WorldOptions = {}): Held {
  const world = new World(options);
  const held: Held = { world, life: new Life(0, 'before'), tasks: [] };
  const play = async (task: Task): Promise<void> => {
    const request = task.flower;
    if (request === undefined) throw new Error('a task without masks');
    if (silent(task.nodeId, request.stage)) return;
    const said = readSecaggplusAnswer(
      request.stage,
      decodeConfigRecord(await stock.ask(task.nodeId, encodeConfigRecord(secaggplusEntries(request)))),
    );
    // to whoever lives, until somebody has heard it
    for (;;) {
      const { world: there, life } = held;
      try {
        return await Promise.race([handIn(there, task, said), life.ending]);
      } catch (error) {
        if (AegisError.from(error).entry.kind !== 'unavailable') throw error;
        await eventually(async () => {
          if (held.world === there && held.life.isDead) throw new Error('nobody lives yet');
        });
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  };
  world.peers.onTask = (task) => {
    held.tasks.push(task);
    void Promise.resolve()
      .then(() => play(task))
      .catch(() => {});
  };
  world.peers.setOnline(nodes);
  return held;
}

const valuesOf = async (world: World, modelId: string) => {
  const { 0: vector, 1: bias } = await readModelArrays(world.channel, modelId);
  expect([vector?.descr, vector?.shape, bias?.descr, bias?.shape]).toEqual(['<f4', [3], '<f4', []]);
  return [...(vector?.values ?? []), ...(bias?.values ?? [])];
};
/** A step of the grid a node, over the share of the greatest weight that they have together. */
const near = (value: number) => Array.from({ length: 4 }, () => expect.closeTo(value, 3));

/** In one attempt nobody is asked twice for a stage, and of nobody both secrets. */
function expectOneStory(tasks: readonly Task[]): void {
  const asked = tasks.map(({ nodeId, flower }) => `${nodeId} ${flower?.stage}`);
  expect(new Set(asked).size).toBe(asked.length);
  const unmask = tasks.flatMap(({ flower }) => (flower?.stage === 'unmask' ? [flower] : []));
  const seeds = new Set(unmask.flatMap(({ active }) => active));
  expect(unmask.flatMap(({ dead }) => dead).filter((node) => seeds.has(node))).toEqual([]);
}

describe("a run under Flower's SecAgg+", () => {
  it('opens the weighted mean round after round, says what it does not protect against, and shows metrics as reported', async () => {
    const telemetry = recordingTelemetry();
    const { world } = compat(undefined, { telemetry: telemetry.telemetry });
    const { runId, note } = await world.start(bundle('', 2));
    expect(note).toMatch(/masks have 32 bits of entropy/);
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    // nodes begin each round from zeros, whatever they are sent
    expect(await valuesOf(world, run.modelId)).toEqual(near(meanOf(nodes)));
    expect(run.history).toMatchObject([
      { cohort: 5, accepted: 5, dropped: 0, masking: { shared: 5, delivered: 5 } },
      { cohort: 5, accepted: 5, dropped: 0, masking: { shared: 5, delivered: 5 } },
    ]);
    expect(run.masking?.limits).toHaveLength(4);
    const stages = ['setup', 'share_keys', 'collect_masked_vectors', 'unmask'].map((stage) => `secagg.${stage}`);
    const rounds = telemetry.trees().filter(({ name }) => name === 'round');
    expect(rounds).toHaveLength(2);
    for (const round of rounds)
      expect(round.children.map(({ name }) => name).filter((name) => stages.includes(name))).toEqual(stages);
    const loss = nodes.reduce((sum, node) => sum + placeOf(node) * placeOf(node), 0) / 15;
    expect(run.history[0]?.trainMetrics).toMatchObject([
      { key: 'loss', value: { value: { value: expect.closeTo(loss, 9) } } },
    ]);
  });

  it.each(['setup', 'share_keys', 'collect_masked_vectors', 'unmask'] as const)(
    'survives a node that goes offline in the stage %s',
    async (stage) => {
      const gone = 9n;
      const { world, tasks } = compat((node, at) => node === gone && at === stage);
      const { runId } = await world.start(bundle());
      await eventually(async () => {
        if (!tasks.some(({ nodeId, flower }) => nodeId === gone && flower?.stage === stage))
          throw new Error('not asked');
      });
      world.peers.setOnline(nodes.filter((node) => node !== gone));
      const run = await world.finished(runId);
      expect(run.run?.status).toMatchObject({ subStatus: 'completed', details: '' });
      const delivered = nodes.filter((node) => node !== gone || stage === 'unmask');
      expect(await valuesOf(world, run.modelId)).toEqual(near(meanOf(delivered)));
      expect(run.history[0]).toMatchObject({ cohort: 5, accepted: delivered.length });
      expectOneStory(tasks);
    },
  );

  it('ends an attempt that too few deliver to, opens nothing of it, and begins anew with fresh keys', async () => {
    const clock = new FakeClock();
    let isBad = true;
    const silent: Silent = (node, stage) => isBad && stage === 'collect_masked_vectors' && placeOf(node) > 2;
    const { world, tasks } = compat(silent, { clock });
    const { runId } = await world.start(bundle('aegis.selection.deadline = 100'));
    await eventually(async () => {
      if (tasks.filter(({ flower }) => flower?.stage === 'collect_masked_vectors').length < 5)
        throw new Error('not asked');
    });
    isBad = false;
    for (const node of nodes) world.peers.presence.meet(node);
    await clock.advance(100_000);
    for (const node of nodes) world.peers.presence.meet(node);
    const run = await world.finished(runId);
    expect(run.run?.status).toMatchObject({ subStatus: 'completed', details: '' });
    expect(await valuesOf(world, run.modelId)).toEqual(near(meanOf(nodes)));
    expect(tasks.filter(({ flower }) => flower?.stage === 'unmask')).toHaveLength(5);
    const keys = tasks.flatMap(({ flower }) => (flower?.stage === 'share_keys' ? flower.keys : []));
    expect(new Set(keys.map(({ pk1 }) => String(pk1))).size).toBe(10);
  });

  const crashed = async (dieAt: number, when: 'before' | 'after') => {
    const held = compat((node, stage) => node === 9n && stage === 'collect_masked_vectors');
    const { world } = held;
    held.life = new Life(dieAt, when);
    Object.assign(world.ground, {
      stores: mortalStores(world.stores, held.life),
      peers: mortalPeers(world.peers, held.life),
    });
    const put = world.peers.onTask;
    world.peers.onTask = (task) => {
      put(task);
      const isGone = task.nodeId === 9n && task.flower?.stage === 'collect_masked_vectors';
      if (isGone) setImmediate(() => world.peers.setOnline(nodes.filter((node) => node !== 9n)));
    };
    const next = held.life.ending.catch(async () => {
      const restarted = new World({ stores: world.stores }, world.peers);
      await restarted.owner.start();
      held.life = new Life(0, 'before');
      held.world = restarted;
    });
    const { runs } = world.stores;
    const started = world.start(bundle()).then(({ runId }) => runId);
    const runId = await Promise.race([started, next.then(async () => (await runs.list())[0]?.runId ?? null)]);
    if (runId === null) return { died: true, held, run: null };
    const ended = world.finished(runId).catch(() => null);
    const run = await Promise.race([ended, next.then(() => held.world.finished(runId))]);
    return { died: held.world !== world, held, run };
  };

  it.each(['before', 'after'] as const)(
    'is the same, and opened once, wherever the aggregator dies %s a write',
    async (when) => {
      let writes = 0;
      for (let dieAt = 1; ; dieAt += 1) {
        const { died, held, run } = await crashed(dieAt, when);
        if (run !== null) {
          const of = `crash ${when} write ${dieAt}`;
          expect(run?.run?.status, of).toMatchObject({ subStatus: 'completed', details: '' });
          const delivered = nodes.filter((node) => node !== 9n);
          expect(await valuesOf(held.world, run?.modelId ?? ''), of).toEqual(near(meanOf(delivered)));
          expect(run?.history[0], of).toMatchObject({ cohort: 5, accepted: 4 });
          expectOneStory(held.tasks);
          await held.world.owner.drain();
        }
        if (!died) break;
        writes = dieAt;
      }
      expect(writes).toBeGreaterThan(40);
    },
    300_000,
  );

  it('asks SuperNodes alone: guards and native clients are told of, and not asked', async () => {
    const { world, tasks } = compat();
    world.peers.kinds.set(5n, 'native');
    const { runId } = await world.start(bundle());
    await eventually(async () => {
      const lines: string[] = [];
      for await (const { text: line } of world.peers.feed.readLog(runId, 0, false, new AbortController().signal))
        lines.push(line);
      if (
        !lines.some((line) =>
          line.includes('waiting for nodes: 4 online (and 1 that cannot mask: a SuperNode without a guard'),
        )
      )
        throw new Error(lines.join('\n'));
    });
    expect(tasks).toEqual([]);
    world.peers.kinds.clear();
    world.peers.setOnline(nodes);
    expect((await world.finished(runId)).run?.status?.subStatus).toBe('completed');
  });

  it.each([
    ['aegis.secagg.reconstruction-threshold', real(0), 'above 0'],
    ['aegis.secagg.modulus-range', real(3.5), 'an integer'],
    ['aegis.records', text('message'), 'legacy apps only'],
    ['aegis.secagg.mode', text('aegis'), "a setting of Flower's SecAgg+"],
  ])('is refused in words when %s does not fit', async (key, value, why) => {
    const { world } = compat();
    await expect(world.start(bundle(), [{ key, value }])).rejects.toThrow(why);
  });
});
