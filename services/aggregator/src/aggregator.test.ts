// The whole service on real NATS, sealed files and the native core.
import { type TemporaryFolder, temporaryFolder, withNats } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { integer, real } from './domain/scalar.ts';
import { writeNpy, writeNpz } from './store/memory/npy.ts';
import { fab } from './testing/bundles.ts';
import { RealWorld, type TaskReply } from './testing/real-world.ts';
import { type Arrays, b1, f4, i8, readModelArrays } from './testing/simulated-node.ts';

const nats = withNats();
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

describe('the aggregator on NATS and sealed files', () => {
  it('runs two rounds with float, integer and boolean tensors', async () => {
    world = await RealWorld.start(nats(), folder.path);
    await world.nodes([1n, 2n, 3n], train);
    const { runId } = await world.runs.startRun({ overrides: [], federation: '', fab: bundle() });
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    const model = await readModelArrays(world.channel, run.modelId);
    expect(model.count?.values).toEqual([4, 4]);
    console.log((await world.logOf(runId)).join('\n'));
  });
});
