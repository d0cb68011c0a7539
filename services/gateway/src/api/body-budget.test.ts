import { connect } from 'node:net';
import { createTelemetry } from '@aegis/service-kit';
import { eventually, withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture } from '../testing/gateway-fixture.ts';
import { npyOf } from '../testing/npy.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';
import type { FlowerDialect } from '../testing/simulated-node.ts';
import { BodyBudget, LARGE_BODY } from './body-budget.ts';

describe('body budget', () => {
  it('is given back, once', () => {
    const budget = new BodyBudget(10 * LARGE_BODY);
    const release = budget.take(6 * LARGE_BODY);
    expect(() => budget.take(5 * LARGE_BODY)).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
    release();
    release();
    expect(budget.bytes()).toBe(0);
    expect(() => budget.take(5 * LARGE_BODY)).not.toThrow();
  });

  it('asks nothing of small bodies, and takes one that is larger than itself alone', () => {
    const budget = new BodyBudget(LARGE_BODY);
    for (let body = 0; body < 100; body += 1) budget.take(LARGE_BODY - 1);
    const release = budget.take(50 * LARGE_BODY);
    expect(() => budget.take(LARGE_BODY)).toThrow();
    release();
    expect(budget.bytes()).toBe(0);
  });
});

describe('a gateway with no room left', () => {
  const nats = withNats();
  const aggregator = new ScriptedAggregator();
  let fixture: GatewayFixture;
  let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
  const telemetry = createTelemetry({ service: 'test', version: '0', env: {} });
  const heldBytes = async (): Promise<number> =>
    Number(/aegis_gateway_bodies_held_bytes(?:\{[^}]*\})? (\d+)/.exec(await telemetry.renderMetrics())?.[1]);

  beforeAll(async () => {
    fixture = await GatewayFixture.open(nats(), aggregator);
    gateway = await fixture.gateway({ config: { limits: { 'upload-mib': 6 } }, telemetry });
  });
  afterAll(() => fixture.close());

  it.each<FlowerDialect>(['A', 'B'])('puts large pushes of dialect %s off, and takes them later', async (dialect) => {
    const node = fixture.node(gateway.target, dialect);
    await node.start();
    await fixture.task(node.nodeId);
    const w = npyOf(Float32Array.from({ length: 500_000 }, (_, index) => index + fixture.next()));
    const reply = node.reply(await node.work(), {
      arrays: new Map([['w', w]]),
      metrics: [{ key: 'num-examples', value: { kind: 'integer', value: 1n } }],
    });
    const { wanted, session } = await node.messages.announce(node.nodeId, reply.head, reply.tree, 1);
    const chunk = wanted.find((id) => (reply.objects.get(id)?.length ?? 0) > 1_000_000) ?? '';

    // Somebody announces 5 MiB and then takes its time.
    const slow = connect(gateway.target.port, gateway.target.host);
    slow.write(
      'POST /v1/fleet/push-object HTTP/1.1\r\nhost: x\r\ncontent-type: application/protobuf\r\ncontent-length: 5242880\r\n\r\n',
    );
    await eventually(async () => (await heldBytes()) === 5_242_880);
    await expect(node.pushPart(reply, chunk, session)).rejects.toMatchObject({ status: dialect === 'A' ? 503 : 14 });
    expect(await node.heartbeat()).toBe(true);
    slow.destroy();
    expect(await eventually(() => node.pushPart(reply, chunk, session))).toBe(true);
  });
});
