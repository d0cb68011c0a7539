import { recordingTelemetry, type SpanTree, spanTrees } from '@aegis/testkit';
import { expect, it } from 'vitest';
import { writeNpy, writeNpz } from '../../services/aggregator/src/store/memory/npy.ts';
import { fab } from '../../services/aggregator/src/testing/bundles.ts';
import { f4 } from '../../services/aggregator/src/testing/simulated-node.ts';
import { adds, WorkingNode } from './nodes.ts';
import { Suite } from './suite.ts';

const initial = writeNpz([{ name: 'w', npy: writeNpy(f4([3], [0, 0, 0])) }]);
const config =
  'aegis.initial-model = "file:init.npz"\nnum-server-rounds = 1\nmin-available-nodes = 2\nfraction-evaluate = 0.0';

it('a round is one trace: aggregator, bus, gateway, every node and part', async () => {
  const { telemetry, spans } = recordingTelemetry();
  const suite = await Suite.start({ transport: 'grpc', telemetry });
  const nodes = [new WorkingNode(suite.target, 'A', adds(1, 1)), new WorkingNode(suite.target, 'B', adds(2, 1))];
  const nodeIds = (await Promise.all(nodes.map((node) => node.start()))).map(String);
  const runId = await suite.startRun(fab({ config, extra: [{ name: 'init.npz', content: initial }] }));
  expect((await suite.finished(runId)).run?.status?.subStatus).toBe('completed');
  for (const node of nodes) await node.leave();
  await suite.close();

  const offered = spans().filter(({ name }) => name === 'gateway.offer-task');
  const [traceId] = new Set(offered.map((span) => span.spanContext().traceId));
  const round = spans().filter((span) => span.spanContext().traceId === traceId);
  const trees = spanTrees(round);
  expect(trees).toHaveLength(1);
  const names = new Set(flat(trees).map(({ name }) => name));
  for (const name of ['gateway.offer-task', 'gateway.announce-upload', 'gateway.put-part', 'gateway.submit-update']) {
    expect(names).toContain(name);
    const ofNode = flat(trees).filter((span) => span.name === name);
    expect(new Set(ofNode.map(({ attributes }) => attributes['aegis.node']))).toEqual(new Set(nodeIds));
  }
  // Every part that reached the gateway reached the aggregator within the same trace.
  const puts = flat(trees).filter(({ name }) => name === 'gateway.put-part');
  for (const put of puts) {
    expect(put.attributes['aegis.part']).toMatch(/^[0-9a-f]{64}$/);
    expect(flat(put.children).map(({ name }) => name)).toContain('aegis.aggregator.v1.Intake/AppendPart');
  }
  expect([...names].some((name) => name.startsWith('bus '))).toBe(true);
  // Names, ids, counts and sizes only.
  for (const { attributes } of flat(trees)) {
    for (const value of Object.values(attributes)) expect(String(value).length).toBeLessThan(200);
  }
});

const flat = (trees: readonly SpanTree[]): SpanTree[] => trees.flatMap((tree) => [tree, ...flat(tree.children)]);
