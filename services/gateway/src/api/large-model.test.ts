import type { ConfigEntry } from '@aegis/flower-wire';
import { withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture } from '../testing/gateway-fixture.ts';
import { floatsOf, npyOf } from '../testing/npy.ts';
import { modelOf, ScriptedAggregator } from '../testing/scripted-aggregator.ts';

const nats = withNats();
const aggregator = new ScriptedAggregator();
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), aggregator);
  gateway = await fixture.gateway();
});
afterAll(() => fixture.close());

const metrics: ConfigEntry[] = [{ key: 'num-examples', value: { kind: 'integer', value: 1n } }];
const big = Float32Array.from({ length: 4_000_000 }, (_, index) => index);

describe('a model of several chunks', () => {
  it('reaches many nodes, each chunk read once, and comes back as slices of parts', async () => {
    const model = modelOf({ big, zeros: new Float32Array(3_000_000), empty: [] });
    const nodes = await Promise.all(
      (['A', 'A', 'B', 'C'] as const).map(async (dialect) => {
        const node = fixture.node(gateway.target, dialect);
        await node.start();
        await fixture.task(node.nodeId, {}, model);
        return node;
      }),
    );
    aggregator.readModelCalls.length = 0;
    const received = await Promise.all(
      nodes.map(async (node) => {
        const offer = await node.work();
        return { node, offer, ...(await node.fetch(offer)) };
      }),
    );
    for (const { arrays } of received) {
      expect(arrays.get('big')?.equals(npyOf(big))).toBe(true);
      expect(arrays.get('empty')?.equals(npyOf([]))).toBe(true);
    }
    const reads = aggregator.readModelCalls.map(({ offset, length }) => `${offset} ${length}`);
    expect(new Set(reads).size).toBe(reads.length);

    const [first] = received;
    if (!first) throw new Error('no node');
    const changed = npyOf(big.map((value) => value + 1));
    const arrays = new Map([...first.arrays, ['big', changed]]);
    expect(await first.node.push(first.node.reply(first.offer, { arrays, metrics }))).toBe(true);
    const tensor = aggregator.submitted.at(-1)?.tensors.find(({ name }) => name === 'big');
    expect(tensor?.slices.length).toBe(4);
    const joined = Buffer.concat(
      tensor?.slices.map(({ partId, offset, length }) =>
        (aggregator.parts.get(partId) ?? Buffer.alloc(0)).subarray(Number(offset), Number(offset + length)),
      ) ?? [],
    );
    expect(joined.equals(changed)).toBe(true);
  });
});

describe('a legacy app', () => {
  it('is asked for its parameters, trains under the names of its time, and answers by number', async () => {
    const layout = { dialect: 2, arrayRecordKey: '', configRecordKey: '', weightedByKey: '' } as const;
    const node = fixture.node(gateway.target, 'C');
    await node.start();
    await fixture.task(node.nodeId, { kind: 3, modelId: '', layout, config: [] });
    const asked = await node.work();
    expect(asked.head.type).toBe('get_parameters');
    const status: ConfigEntry[] = [{ key: 'code', value: { kind: 'integer', value: 0n } }];
    const parameters = node.legacyReply(asked, {
      arrays: { 'getparametersres.parameters': [npyOf([1, 2])] },
      configs: { 'getparametersres.status': status },
    });
    expect(await node.push(parameters)).toBe(true);
    expect(aggregator.submitted.at(-1)?.tensors.map(({ name }) => name)).toEqual(['0']);

    await fixture.task(node.nodeId, { layout }, modelOf({ weight: [1, 2], bias: [3] }));
    const offer = await node.work();
    const { arrays } = await node.fetch(offer);
    expect([...arrays].map(([name, npy]) => [name, floatsOf(npy)])).toEqual([
      ['0', [1, 2]],
      ['1', [3]],
    ]);
    const trained = node.legacyReply(offer, {
      arrays: { 'fitres.parameters': [npyOf([5, 6]), npyOf([7])] },
      configs: { 'fitres.status': status, 'fitres.metrics': [] },
      metrics: { 'fitres.num_examples': [{ key: 'num_examples', value: { kind: 'integer', value: 9n } }] },
    });
    expect(await node.push(trained)).toBe(true);
    expect(aggregator.submitted.at(-1)).toMatchObject({ weight: 9, tensors: [{ name: 'weight' }, { name: 'bias' }] });
  });
});
