// The whole service on real NATS, sealed files and the native core.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  eventually,
  recordingTelemetry,
  type SpanTree,
  type TemporaryFolder,
  temporaryFolder,
  withNats,
} from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeEntries } from './api/scalars.ts';
import { integer, real } from './domain/scalar.ts';
import { readNpz, writeNpy, writeNpz } from './store/memory/npy.ts';
import { fab, legacyApp } from './testing/bundles.ts';
import { RealWorld, type TaskReply } from './testing/real-world.ts';
import { type Arrays, b1, f4, i8, readModelArrays } from './testing/simulated-node.ts';

const nats = withNats();
const nodes = [1n, 2n, 3n];
let folder: TemporaryFolder;
let world: RealWorld | undefined;

beforeEach(async () => {
  folder = await temporaryFolder('aggregator');
});
afterEach(async () => {
  await world?.stop();
  world = undefined;
  await folder.remove();
});

const initial = writeNpz([
  { name: 'w', npy: writeNpy(f4([3], [0, 0, 0])) },
  { name: 'count', npy: writeNpy(i8([2], [0, 0])) },
  { name: 'flag', npy: writeNpy(b1([2], [0, 0])) },
]);
const config = (more = '') => `num-server-rounds = 2
min-available-nodes = 3
aegis.initial-model = "file:init.npz"
${more}`;
const bundle = (more = '') => fab({ config: config(more), extra: [{ name: 'init.npz', content: initial }] });

const trained = (node: bigint, model: Arrays): Arrays => {
  const id = Number(node);
  const add = (values: readonly number[] | undefined, by: number): number[] =>
    (values ?? []).map((value) => value + by);
  return {
    w: f4([3], add(model.w?.values, id / 3)),
    count: i8([2], add(model.count?.values, id)),
    flag: b1([2], [1, id % 2]),
  };
};
const train: TaskReply = (task, model, kind) =>
  kind === 'evaluate'
    ? { metrics: [{ key: 'loss', value: real(Number(task.nodeId)) }], weight: 1 }
    : {
        arrays: trained(task.nodeId, model),
        metrics: [{ key: 'seen', value: integer(1) }],
        weight: Number(task.nodeId),
      };

const start = async (
  lines = '',
  given: TaskReply = train,
  minAvailable = 3,
): Promise<{ world: RealWorld; runId: bigint }> => {
  world = await RealWorld.start(nats(), folder.path);
  await world.nodes(nodes, given);
  const { runId } = await world.runs.startRun({
    overrides: writeEntries([{ key: 'min-available-nodes', value: integer(minAvailable) }]),
    federation: '',
    owner: { id: 'oidc:1', name: 'ada' },
    fab: bundle(lines),
  });
  return { world, runId };
};

describe('the aggregator on NATS and sealed files', () => {
  it('runs two rounds with float, integer and boolean tensors', async () => {
    const { world, runId } = await start();
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(run.history.map((round) => [round.cohort, round.accepted, round.evaluated])).toEqual([
      [3, 3, 3],
      [3, 3, 3],
    ]);
    const model = await readModelArrays(world.channel, run.modelId);
    // a round adds (1·1 + 2·2 + 3·3) / 6 = 2.33…: as reals a third of it, as integers rounded to 2
    expect(model.w?.values[0]).toBeCloseTo((2 * 14) / 18, 5);
    expect(model.count?.values).toEqual([4, 4]);
    // flags: always 1; 1, 0, 1 with weights 1, 2, 3: 4/6
    expect(model.flag?.values).toEqual([1, 1]);
    expect((await world.logOf(runId)).at(-1)).toContain('completed');
  });

  it('leaves models, and nothing of what nodes sent', async () => {
    const { world, runId } = await start();
    await world.finished(runId);
    await eventually(async () => (await readdir(join(folder.path, 'intake'))).length === 0);
    const { models } = await world.runs.listModels({ runId });
    expect(models.map((model) => model.round)).toEqual([1, 2]);
    const pieces: Buffer[] = [];
    for await (const { content } of world.runs.exportModel({ modelId: '', runId, round: 2, format: 'npz' }))
      pieces.push(content);
    const arrays = await readNpz(Buffer.concat(pieces));
    expect(arrays.map((array) => array.name)).toEqual(['w', 'count', 'flag']);
    for await (const entry of (await world.bus.bucket('tasks')).entries()) expect.fail(`a task was left: ${entry.key}`);
  });

  it('asks a legacy app for its first model', async () => {
    world = await RealWorld.start(nats(), folder.path);
    await world.nodes(nodes, (task, model, kind) => {
      if (kind === 'initial-model') return { arrays: { 0: f4([2], [1, 2]) } };
      if (kind === 'evaluate') return { metrics: [{ key: 'loss', value: real(0.5) }], weight: 3 };
      return {
        arrays: {
          0: f4(
            [2],
            (model[0]?.values ?? []).map((value) => value + Number(task.nodeId)),
          ),
        },
        weight: 1,
      };
    });
    const app = fab({ config: 'num-server-rounds = 1\naegis.initial-model = "node"', source: legacyApp });
    const { runId } = await world.runs.startRun({ overrides: [], federation: '', owner: undefined, fab: app });
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect((await readModelArrays(world.channel, run.modelId))[0]?.values).toEqual([3, 4]);
  });

  it('refuses NaN from one node, leaves a straggler behind, and goes on', async () => {
    const { world, runId } = await start(
      'aegis.selection.deadline = 2\naegis.selection.min-report = 1\nfraction-evaluate = 0.0',
      (task, model, kind) => {
        if (task.nodeId === 1n) return { arrays: { ...trained(1n, model), w: f4([3], [Number.NaN, 0, 0]) }, weight: 1 };
        return task.nodeId === 3n ? null : train(task, model, kind);
      },
    );
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(run.history.map(({ cohort, accepted }) => [cohort, accepted])).toEqual([
      [3, 1],
      [3, 1],
    ]);
    expect((await readModelArrays(world.channel, run.modelId)).count?.values).toEqual([4, 4]);
  });

  it('goes on in the same round after a restart, to the same bits', async () => {
    const { world: first, runId: undisturbed } = await start('fraction-evaluate = 0.0');
    const expected = (await first.finished(undisturbed)).modelId;
    await first.stop();

    const slow: TaskReply = (task, model, kind) => (task.nodeId === 2n ? train(task, model, kind) : null);
    const { world: second, runId } = await start('fraction-evaluate = 0.0', slow);
    await eventually(async () => (await eventOf(second, runId)).nodes.some((node) => node.state === 'accepted'));
    await second.stop();

    world = await RealWorld.start(nats(), folder.path);
    await world.nodes(nodes, train);
    const run = await world.finished(runId);
    expect(run.history.map((round) => [round.round, round.accepted])).toEqual([
      [1, 3],
      [2, 3],
    ]);
    expect(run.modelId).toBe(expected);
    expect(run.run?.owner).toEqual({ id: 'oidc:1', name: 'ada' });
    const lines = await world.logOf(runId);
    expect(lines.find((line) => line.includes('resumed'))).toBe(
      'round 1/2, train: resumed after a restart with 1 of 3 answers',
    );
  });

  it('waits out an outage of NATS in the middle of a round', async () => {
    let held: ((value: undefined) => void) | undefined;
    const hold = new Promise<undefined>((resolve) => {
      held = resolve;
    });
    const { world, runId } = await start('fraction-evaluate = 0.0', async (task, model, kind) => {
      if (task.nodeId === 1n) await hold;
      return train(task, model, kind);
    });
    await eventually(
      async () => (await eventOf(world, runId)).nodes.filter((node) => node.state === 'accepted').length === 2,
    );
    await nats().kill();
    held?.(undefined);
    await nats().restart();
    const run = await eventually(() => world.finished(runId), 40_000);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(run.history.map((round) => round.accepted)).toEqual([3, 3]);
  });

  it('drops a node that its gateway says has gone', async () => {
    const silent: TaskReply = (task, model, kind) => (task.nodeId === 3n ? null : train(task, model, kind));
    const { world, runId } = await start('fraction-evaluate = 0.0', silent, 2);
    await eventually(
      async () => (await eventOf(world, runId)).nodes.filter((node) => node.state === 'accepted').length === 2,
    );
    world.presence(3n, false);
    const run = await world.finished(runId);
    expect(run.history.map(({ cohort, accepted, dropped }) => [cohort, accepted, dropped])).toEqual([
      [3, 2, 1],
      [2, 2, 0],
    ]);
  });

  it('dispatches to a thousand nodes and hears them all', async () => {
    world = await RealWorld.start(nats(), folder.path);
    const many = Array.from({ length: 1000 }, (_, i) => BigInt(i + 1));
    await world.nodes(many, train);
    const lines = 'min-available-nodes = 1000\nfraction-evaluate = 0.0';
    const app = fab({
      config: `num-server-rounds = 1\naegis.initial-model = "file:init.npz"\n${lines}`,
      extra: [{ name: 'init.npz', content: initial }],
    });
    const { runId } = await world.runs.startRun({ overrides: [], federation: '', owner: undefined, fab: app });
    const run = await world.finished(runId);
    expect(run.history[0]).toMatchObject({ cohort: 1000, accepted: 1000 });
  });
});

describe('the trace of a round', () => {
  it('has every step as a span, and answers join it', async () => {
    const { telemetry, trees } = recordingTelemetry();
    world = await RealWorld.start(nats(), folder.path, { telemetry });
    const parents = new Set<string>();
    await world.nodes(nodes, (task, model, kind) => {
      parents.add(task.traceparent);
      return train(task, model, kind);
    });
    const { runId } = await world.runs.startRun({ overrides: [], federation: '', owner: undefined, fab: bundle() });
    await world.finished(runId);
    const rounds = trees().filter((tree) => tree.name === 'round');
    expect(rounds.map((tree) => tree.attributes['aegis.round'])).toEqual([1, 2]);
    expect(parents.size).toBe(2);
    const under = (tree: SpanTree): string[] => tree.children.flatMap((child) => [child.name, ...under(child)]);
    for (const round of rounds) {
      const names = round.children.map((child) => child.name);
      for (const name of ['select', 'dispatch', 'finish', 'evaluate', 'checkpoint'])
        expect(names, name).toContain(name);
      expect(names.filter((name) => name === 'fold')).toHaveLength(3);
    }
    const intakes = trees()
      .flatMap((tree) => [tree, ...tree.children])
      .filter((tree) => under(tree).includes('intake') || tree.name === 'intake');
    expect(intakes.length).toBeGreaterThan(0);
    const text = await telemetry.renderMetrics();
    for (const name of ['aegis_round_seconds', 'aegis_updates_total', 'aegis_intake_bytes_total', 'aegis_fold_seconds'])
      expect(text).toContain(name);
    await telemetry.shutdown();
  });
});

const eventOf = async (world: RealWorld, runId: bigint) => {
  for await (const event of world.runs.watchRun({ runId })) return event;
  throw new Error('nothing to watch');
};
