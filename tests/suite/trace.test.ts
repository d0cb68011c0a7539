import { recordingTelemetry, type SpanTree, spanTrees, temporaryFolder } from '@aegis/testkit';
import { expect, it } from 'vitest';
import { writeNpy, writeNpz } from '../../services/aggregator/src/store/memory/npy.ts';
import { fab } from '../../services/aggregator/src/testing/bundles.ts';
import { f4 } from '../../services/aggregator/src/testing/simulated-node.ts';
import { GuardedNodes } from './guarded-nodes.ts';
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

it('has a part of a guard in it where the owner wants that, and nothing in it but names', async () => {
  await using folder = await temporaryFolder('traced-guard');
  const federation = await GuardedNodes.in(folder.path);
  const [server, owner] = [recordingTelemetry(), recordingTelemetry()];
  const suite = await Suite.start({ telemetry: server.telemetry, federation });
  const guards = [
    await federation.start('traced', suite.target, 'apps: ["*"]\n', adds(1, 1), owner.telemetry),
    await federation.start('silent', suite.target, 'apps: ["*"]\n', adds(2, 1)),
  ];
  const runId = await suite.startRun(fab({ config, extra: [{ name: 'init.npz', content: initial }] }));
  expect((await suite.finished(runId)).run?.status?.subStatus).toBe('completed');
  for (const guard of guards) await guard.end();
  await suite.close();

  const [round] = server.spans().filter(({ name }) => name === 'round');
  const spans = owner.spans();
  expect(spans.map(({ name }) => name).sort()).toEqual(['guard.answer', 'guard.offer']);
  for (const span of spans) {
    expect(span.spanContext().traceId).toBe(round?.spanContext().traceId);
    expect(span.parentSpanContext?.spanId).toBe(round?.spanContext().spanId);
    const keys = Object.keys(span.attributes).filter((key) => !['aegis.allowed', 'aegis.accepted'].includes(key));
    expect(keys.sort()).toEqual(['aegis.kind', 'aegis.round', 'aegis.run', 'aegis.task']);
  }
});

const flat = (trees: readonly SpanTree[]): SpanTree[] => trees.flatMap((tree) => [tree, ...flat(tree.children)]);
