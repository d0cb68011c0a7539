import { describe, expect, it } from 'vitest';
import { integer, real } from '../domain/scalar.ts';
import { MemoryModels } from '../store/memory/models.ts';
import { writeNpy, writeNpz } from '../store/memory/npy.ts';
import { fab } from '../testing/bundles.ts';
import { f4, readModelArrays } from '../testing/simulated-node.ts';
import { World } from '../testing/world.ts';

const npz = writeNpz([
  { name: 'w', npy: writeNpy(f4([3], [0, 0, 0])) },
  { name: 'b', npy: writeNpy(f4([], [0])) },
]);
const config = `num-server-rounds = 2
min-available-nodes = 3
aegis.initial-model = "file:init.npz"
aegis.train-config.lr = 0.5`;

describe('a run', () => {
  it('goes from flwr run to its last model', async () => {
    const world = new World();
    world.peers.setOnline([1n, 2n, 3n]);
    world.answerWith((task, model) => {
      if (task.kind === 'evaluate') return { metrics: [{ key: 'loss', value: real(Number(task.nodeId)) }], weight: 10 };
      const w = (model.w?.values ?? []).map((value) => value + Number(task.nodeId));
      return {
        arrays: { w: f4([3], w), b: f4([], [1]) },
        metrics: [{ key: 'n', value: integer(3) }],
        weight: Number(task.nodeId),
      };
    });
    const { runId } = await world.runs.startRun({
      overrides: [],
      federation: '',
      fab: fab({ config, extra: [{ name: 'init.npz', content: npz }] }),
    });
    const run = await world.finished(runId);
    expect(run.run?.status).toEqual({ status: 'finished', subStatus: 'completed', details: '' });
    expect(run.history.map((round) => [round.cohort, round.accepted, round.evaluated])).toEqual([
      [3, 3, 3],
      [3, 3, 3],
    ]);
    const arrays = await readModelArrays(world.channel, run.modelId);
    expect(arrays.w?.values[0]).toBeCloseTo((2 * 14) / 6, 5);
    expect(world.peers.logOf(runId)).toMatchInlineSnapshot(`
      [
        "run 12658959682189252120: aegis/tiny 1.2.3, 2 rounds of fedavg, message records",
        "round 1/2: train 3 nodes, 3 accepted, 0.0 s; n 3",
        "round 1/2: evaluate 3 nodes, 3 accepted, 0.0 s; loss 2",
        "round 2/2: train 3 nodes, 3 accepted, 0.0 s; n 3",
        "round 2/2: evaluate 3 nodes, 3 accepted, 0.0 s; loss 2",
        "run 12658959682189252120 completed",
      ]
    `);
    expect(world.peers.tasks.size).toBe(0);
    void MemoryModels;
  });
});
