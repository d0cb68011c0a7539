import { recordingTelemetry, withNats } from '@aegis/testkit';
import { expect, it } from 'vitest';
import { GatewayFixture } from '../testing/gateway-fixture.ts';
import { npyOf } from '../testing/npy.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';

const nats = withNats();

it("an update's spans join the trace of its round, with node and part, without payload", async () => {
  const { telemetry, spans } = recordingTelemetry();
  const fixture = await GatewayFixture.open(nats(), new ScriptedAggregator());
  const { target } = await fixture.gateway({ telemetry });
  const node = fixture.node(target);
  await node.start();
  const [traceId, spanId] = ['1'.repeat(32), '2'.repeat(16)];
  const task = await fixture.task(node.nodeId, { traceparent: `00-${traceId}-${spanId}-01` });
  const offer = await node.work();
  await node.fetch(offer);
  const arrays = new Map([['w', npyOf([1, 2, 3])]]);
  const metrics = [{ key: 'num-examples', value: { kind: 'integer', value: 1n } }] as const;
  expect(await node.push(node.reply(offer, { arrays, metrics: [...metrics] }))).toBe(true);

  const ours = spans().filter(({ name }) => name.startsWith('gateway.'));
  const names = ours.map(({ name }) => name);
  expect(new Set(names)).toEqual(
    new Set(['gateway.offer-task', 'gateway.announce-upload', 'gateway.put-part', 'gateway.submit-update']),
  );
  for (const span of ours) {
    expect(span.spanContext().traceId).toBe(traceId);
    expect(span.attributes).toMatchObject({ 'aegis.node': node.nodeId.toString(), 'aegis.task': task.taskId });
  }
  const parts = ours
    .filter(({ name }) => name === 'gateway.put-part')
    .map(({ attributes }) => attributes['aegis.part']);
  expect(new Set(parts).size).toBe(parts.length);
  expect(spans().some(({ name }) => name.endsWith('Intake/AppendPart'))).toBe(true);
  await fixture.close();
});
