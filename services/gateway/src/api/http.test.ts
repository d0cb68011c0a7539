import { createTelemetry } from '@aegis/service-kit';
import { eventually, startTestNats, withNats } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { GatewayFixture } from '../testing/gateway-fixture.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';
import { rawHttp, type Target } from '../testing/wire-client.ts';

const nats = withNats();
const get = async (target: Target, path: string): Promise<string> =>
  (await rawHttp(target, undefined, { path, method: 'GET' })).toString();

describe('beside Flower', () => {
  it('health and metrics are answered, everything else is not found', async () => {
    const fixture = await GatewayFixture.open(nats(), new ScriptedAggregator());
    const telemetry = createTelemetry({ service: 'test', version: '0', env: {} });
    const { target } = await fixture.gateway({ telemetry });
    expect(JSON.parse(await get(target, '/health'))).toEqual({ status: 'ok' });
    expect(await get(target, '/metrics')).toContain('aegis_gateway_held_pulls');
    for (const path of ['/', '/metrics/x', '/v1', '/admin']) {
      await expect(get(target, path)).rejects.toMatchObject({ status: 404 });
    }
    await fixture.close();
  });

  it('an answer is readable for a client that is still sending', async () => {
    const fixture = await GatewayFixture.open(nats(), new ScriptedAggregator());
    const { target } = await fixture.gateway();
    const body = Buffer.alloc(16 * 2 ** 20);
    const stranger = rawHttp(target, undefined, { path: '/nothing/here', body });
    await expect(stranger).rejects.toMatchObject({ status: 404, body: expect.stringContaining('METHOD_UNKNOWN') });
    const headers = { 'content-type': 'application/protobuf' };
    const unsigned = rawHttp(target, undefined, { path: '/v1/fleet/push-object', body, headers });
    await expect(unsigned).rejects.toMatchObject({
      status: 401,
      body: expect.stringContaining('NODE_UNAUTHENTICATED'),
    });
    await fixture.close();
  });

  it('health says no while the bus is away', async () => {
    const own = await startTestNats();
    const fixture = await GatewayFixture.open(own, new ScriptedAggregator());
    const { target } = await fixture.gateway();
    await own.kill();
    await eventually(() =>
      get(target, '/health').then(
        () => false,
        ({ status }) => status === 503,
      ),
    );
    await own.restart();
    await eventually(async () => (await get(target, '/health')).includes('ok'));
    await fixture.close();
    await own.stop();
  });
});

describe('drain', () => {
  it.each(['A', 'B'] as const)('ends a held pull of dialect %s empty, and takes no new connection', async (dialect) => {
    const fixture = await GatewayFixture.open(nats(), new ScriptedAggregator());
    const gateway = await fixture.gateway({ config: { 'hold-seconds': 20 } });
    const node = fixture.node(gateway.target, dialect);
    await node.start();
    const held = node.pull();
    await node.heartbeat();
    const drained = gateway.drain();
    expect(await held).toBeNull();
    node.close();
    await drained;
    await expect(get(gateway.target, '/health')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await fixture.close();
  });
});
