import type { ConfigEntry } from '@aegis/flower-wire';
import { withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture } from '../testing/gateway-fixture.ts';
import { floatsOf, npyOf } from '../testing/npy.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';
import type { FlowerDialect } from '../testing/simulated-node.ts';

const nats = withNats();
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
const aggregator = new ScriptedAggregator();

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), aggregator, { tls: true });
  gateway = await fixture.gateway();
});
afterAll(() => fixture.close());

const examples = (count: number): ConfigEntry[] => [
  { key: 'num-examples', value: { kind: 'integer', value: BigInt(count) } },
  { key: 'loss', value: { kind: 'real', value: 0.25 } },
];

describe.each<FlowerDialect>(['A', 'B', 'C'])('a node of dialect %s over TLS', (dialect) => {
  it('walks from registration to an accepted update and out again', async () => {
    const node = fixture.node(gateway.target, dialect);
    const nodeId = await node.start();
    expect(await node.heartbeat()).toBe(true);

    const task = await fixture.task(nodeId);
    const offer = await node.work();
    expect(offer.head).toMatchObject({ runId: 77n, destinationNodeId: nodeId, sourceNodeId: 1n, type: 'train' });

    const run = await node.messages.run(nodeId, 77n);
    expect(run).toMatchObject({ runId: 77n, fabHash: aggregator.appHash, seriesId: 78n });
    expect(await node.messages.fab(nodeId, 77n, run.fabHash)).toEqual(aggregator.fab);

    const received = await node.fetch(offer);
    expect(floatsOf(received.arrays.get('w') ?? Buffer.alloc(0))).toEqual([1, 2, 3]);
    expect(received.config.get('server-round')).toEqual({ kind: 'integer', value: 1n });

    const arrays = new Map([
      ['w', npyOf([2, 3, 4])],
      ['b', npyOf([1])],
    ]);
    expect(await node.push(node.reply(offer, { arrays, metrics: examples(20) }))).toBe(true);
    const update = aggregator.submitted.at(-1);
    expect(update).toMatchObject({
      task: { taskId: task.taskId, nodeId },
      weight: 20,
      metrics: [{ key: 'loss' }],
      runtimeSeconds: 0.5,
    });
    const npys = update?.tensors.map(({ name, slices }) => [
      name,
      floatsOf(
        Buffer.concat(
          slices.map(
            ({ partId, offset, length }) =>
              aggregator.parts.get(partId)?.subarray(Number(offset), Number(offset + length)) ?? Buffer.alloc(0),
          ),
        ),
      ),
    ]);
    expect(npys).toEqual([
      ['w', [2, 3, 4]],
      ['b', [1]],
    ]);
    await node.stop();
    await expect(node.heartbeat()).rejects.toMatchObject({ status: dialect === 'A' ? 401 : 16 });
  });
});

describe('two nodes that answer alike', () => {
  it('send their common parts once; the second answer is read back from what the first one sent', async () => {
    const arrays = new Map([
      ['w', npyOf([7, 8, 9])],
      ['b', npyOf([7])],
    ]);
    const wantedBy: number[] = [];
    for (const dialect of ['A', 'B'] as const) {
      const node = fixture.node(gateway.target, dialect);
      const task = await fixture.task(await node.start());
      const reply = node.reply(await node.work(), { arrays, metrics: examples(5) });
      const { wanted, session } = await node.messages.announce(node.nodeId, reply.head, reply.tree, 1);
      wantedBy.push(wanted.length);
      for (const id of wanted) expect(await node.pushPart(reply, id, session)).toBe(true);
      expect(aggregator.submitted.at(-1)?.task?.taskId).toBe(task.taskId);
    }
    expect(wantedBy[1]).toBe(1);
  });
});
