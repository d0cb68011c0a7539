import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as tcpConnect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { createTelemetry } from '@aegis/service-kit';
import { eventually, http2Frames, startTestNats, type TestNats } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Pressure } from '../domain/admission.ts';
import { GatewayFixture, TOKEN } from '../testing/gateway-fixture.ts';
import { NodeKey } from '../testing/node-key.ts';
import { Operator } from '../testing/operator.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';
import type { FlowerDialect, SimulatedNode } from '../testing/simulated-node.ts';
import { Refused, rawHttp, type Target } from '../testing/wire-client.ts';

// Real gateways over TLS on a real bus, and everybody at one address, as behind one router.

const BURST = 40;
const small = { 'per-second': 0.01, burst: BURST };

let nats: TestNats;
let fixture: GatewayFixture;
let telemetry: ReturnType<typeof createTelemetry>;
const opened: { destroy(): void }[] = [];

beforeEach(async () => {
  nats = await startTestNats();
  fixture = await GatewayFixture.open(nats, new ScriptedAggregator(), { tls: true });
  telemetry = createTelemetry({ service: 'test', version: '0', env: {} });
});
afterEach(async () => {
  for (const one of opened.splice(0)) one.destroy();
  await fixture.close();
  await nats.stop();
});

const open = async (limits: object) => (await fixture.gateway({ config: { limits }, telemetry })).target;

/** The figure of this counter with this label. */
const counted = async (name: string, label: string): Promise<number> => {
  const line = new RegExp(`^${name}\\S*\\{[^}]*${label}[^}]*\\} (\\d+)`, 'm').exec(await telemetry.renderMetrics());
  return Number(line?.[1] ?? 0);
};

/** A caller with a key of its own whose signatures are no good. */
const forger = (target: Target, dialect: FlowerDialect): SimulatedNode => {
  const node = fixture.node(target, dialect);
  node.nodeId = 7n;
  node.sign = () => ({ ...new NodeKey().sign(), signature: Buffer.from('forged') });
  return node;
};

/** How its next call is refused. */
const refusalOf = async (node: SimulatedNode): Promise<Refused> => {
  const outcome = await node.heartbeat().catch((error: unknown) => error);
  if (outcome instanceof Refused) return outcome;
  throw new Error(`was not refused: ${outcome}`);
};

/** Forges calls until they are put off, and says how many were looked at before. */
const exhaust = async (target: Target, most = 4 * BURST): Promise<number> => {
  const node = forger(target, 'A');
  for (let call = 0; call < most; call += 1) {
    const { status, body } = await refusalOf(node);
    if (status === 503 && body.includes('RATE_LIMIT')) return call;
    expect(body).toContain('NODE_SIGNATURE');
  }
  return most;
};

const secured = async (target: Target, protocol: 'h2' | 'http/1.1', localAddress = '127.0.0.1'): Promise<TLSSocket> => {
  const { host, port, ca } = target;
  const tcp = tcpConnect({ host, port, localAddress });
  const socket = tlsConnect({ socket: tcp, ...(ca && { ca }), servername: 'localhost', ALPNProtocols: [protocol] });
  opened.push(socket);
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
};

const gone = async (socket: { destroyed: boolean }): Promise<void> =>
  eventually(() => expect(socket.destroyed).toBe(true));

describe('calls of strangers', () => {
  it('are put off once their address has made too many, and those of nodes behind the same router are not', async () => {
    const target = await open({ rates: { calls: { address: small } } });
    const [http, grpc] = [fixture.node(target, 'A'), fixture.node(target, 'B')];
    // More of them than the address has calls: each gets its own back.
    for (let node = 0; node < BURST; node += 1) await fixture.node(target, node % 2 === 0 ? 'A' : 'B').start();
    await http.start();
    await grpc.start();
    expect(await exhaust(target)).toBe(BURST);
    expect(await refusalOf(forger(target, 'B'))).toMatchObject({
      status: 14,
      body: expect.stringContaining('RATE_LIMIT'),
    });
    for (const node of [http, grpc]) {
      for (let call = 0; call < 20; call += 1) expect(await node.heartbeat()).toBe(true);
      // Over a connection of its own, as most heartbeats of stock nodes come.
      const again = fixture.node(target, node.dialect, node.key);
      again.nodeId = node.nodeId;
      expect(await again.heartbeat()).toBe(true);
    }
    expect(await counted('aegis_gateway_rate_limited', 'class="calls",payer="address"')).toBeGreaterThan(1);
    expect(await counted('aegis_gateway_refusals', 'code="RATE_LIMIT",door="grpc"')).toBe(1);
  });

  it('are not even looked at when memory runs out; those of nodes are', async () => {
    let pressure: Pressure = 'calm';
    const { target } = await fixture.gateway({ telemetry, pressure: () => pressure });
    const node = fixture.node(target, 'B');
    await node.start();
    const stranger = forger(target, 'B');
    expect((await refusalOf(stranger)).body).toContain('NODE_SIGNATURE');
    pressure = 'full';
    expect((await refusalOf(stranger)).body).toContain('RATE_LIMIT');
    await expect(secured(target, 'h2', '127.0.0.2')).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await node.heartbeat()).toBe(true);
    const again = fixture.node(target, 'A', node.key);
    again.nodeId = node.nodeId;
    expect(await again.heartbeat()).toBe(true);
    pressure = 'calm';
    await fixture.node(target, 'A').start();
  });

  it('with large bodies are not read while the gateway is busy; those of nodes are', async () => {
    let pressure: Pressure = 'calm';
    const { target } = await fixture.gateway({ telemetry, pressure: () => pressure });
    const [node, stranger] = [fixture.node(target, 'A'), fixture.node(target, 'A')];
    await node.start();
    pressure = 'busy';
    const large = Buffer.alloc(200_000);
    const refusal = (of: SimulatedNode) =>
      of.wire.call('push-object', large, of.sign()).catch((error: unknown) => error);
    expect(await refusal(stranger)).toMatchObject({ status: 503, body: expect.stringContaining('RATE_LIMIT') });
    // Read, and found to be no push.
    expect(await refusal(node)).toMatchObject({ status: 400, body: expect.stringContaining('REQUEST_MALFORMED') });
    expect(await telemetry.renderMetrics()).toMatch(/^aegis_gateway_pressure(\{.*\})? 1$/m);
  });

  it('are told when to come back, over a connection that ends', async () => {
    const target = await open({ rates: { calls: { address: small } } });
    await exhaust(target);
    const socket = await secured(target, 'http/1.1');
    const head = ['POST /v1/fleet/pull-messages HTTP/1.1', 'host: x', 'content-type: application/protobuf'];
    socket.write([...head, 'content-length: 0', '', ''].join('\r\n'));
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1.1 503 .*retry-after: 1\r\nconnection: close/s);
    const session = sessionOver(await secured(target, 'h2'));
    const stream = session.request({
      ':method': 'POST',
      ':path': '/flwr.proto.Fleet/PullMessages',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.end(Buffer.alloc(5));
    const [trailers] = await Promise.race([once(stream, 'response'), once(stream, 'trailers')]);
    expect(trailers).toMatchObject({ 'grpc-status': '14', 'grpc-retry-pushback-ms': '1000' });
  });

  it('that a node makes faster than its own rate are put off, too, and others are not', async () => {
    const target = await open({ rates: { calls: { caller: small } } });
    const [busy, calm] = [fixture.node(target, 'B'), fixture.node(target, 'A')];
    await busy.start();
    await calm.start();
    let made = 0;
    while (await busy.heartbeat().catch(() => false)) made += 1;
    expect(made).toBeGreaterThan(BURST - 3);
    expect(made).toBeLessThanOrEqual(BURST);
    expect(await calm.heartbeat()).toBe(true);
    expect(await counted('aegis_gateway_rate_limited', 'class="calls",payer="caller"')).toBe(1);
  });

  it('of the flwr command are nobody’s for a key of a node that stands beside them', async () => {
    const target = await open({ rates: { control: { address: small } } });
    const node = fixture.node(target, 'A');
    await node.start();
    const headers = {
      'content-type': 'application/protobuf',
      'flwr-public-key': node.key.publicKeyPem.toString('base64'),
    };
    const ask = () => rawHttp(target, undefined, { path: '/v1/control/list-runs', body: Buffer.alloc(0), headers });
    const outcomes = await Promise.allSettled(Array.from({ length: BURST + 5 }, ask));
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(5);
  });

  it('with invitations, and operators without their token, are of a class each', async () => {
    const target = await open({ rates: { enrolment: { address: small }, control: { address: small } } });
    const wrong = new Operator(target, 'a-token-that-is-nobodys');
    const right = new Operator(target, TOKEN);
    let asked = 0;
    for (; asked < 2 * BURST; asked += 1) {
      const text = await wrong.call('listNodes', {}).then(String, String);
      if (text.includes('too many calls')) break;
    }
    expect(asked).toBe(BURST);
    expect(await right.call('listNodes', {})).toEqual({ nodes: [] });
    const strangers = Array.from({ length: BURST + 5 }, () => fixture.node(target, 'A').start());
    const outcomes = await Promise.allSettled(strangers);
    const limited = outcomes.filter(({ status }) => status === 'rejected').length;
    expect(limited).toBe(5);
    wrong.close();
    right.close();
  });
});

const sessionOver = (socket: TLSSocket): ClientHttp2Session => {
  const session = connect('https://localhost', { createConnection: () => socket });
  session.on('error', () => {});
  opened.push(session);
  return session;
};

describe('two gateways', () => {
  const limits = { rates: { calls: { address: small } } };

  /** Two that have heard of each other, each with a node. */
  const pair = async () => {
    const [one, other] = [await open(limits), await open(limits)];
    const nodes = [fixture.node(one, 'A'), fixture.node(other, 'B')];
    for (const node of nodes) await node.start();
    await ticks();
    return { one, other, nodes };
  };

  it('count together', async () => {
    const { one, other, nodes } = await pair();
    expect(await exhaust(one)).toBe(BURST);
    await ticks();
    expect(await exhaust(other)).toBe(0);
    for (const node of nodes) expect(await node.heartbeat()).toBe(true);
  });

  it('go on with half each while the bus is away, and together again when it is back', async () => {
    const { one, other, nodes } = await pair();
    await nats.kill();
    await ticks();
    expect([await exhaust(one), await exhaust(other)]).toEqual([BURST / 2, BURST / 2]);
    for (const node of nodes) expect(await node.heartbeat()).toBe(true);
    await nats.restart();
    for (const node of nodes) expect(await eventually(() => node.heartbeat())).toBe(true);
    // Nothing flowed back meanwhile, and nothing was given out twice.
    expect((await refusalOf(forger(one, 'A'))).status).toBe(503);
  });
});

/** What gateways tell each other has been told: they do so four times a second. */
const ticks = (): Promise<void> => sleep(800);

describe('when all places are taken', () => {
  it('nodes keep theirs, and the oldest strangers make room for new ones', async () => {
    const target = await open({ connections: 12, 'connections-per-address': 10 });
    const nodes = [fixture.node(target, 'B'), fixture.node(target, 'B')];
    for (const node of nodes) await node.start();
    const strangers = [];
    for (let count = 0; count < 8; count += 1) strangers.push(await secured(target, 'http/1.1'));
    const ninth = await secured(target, 'http/1.1');
    await gone(strangers[0] as TLSSocket);
    // Of another address: there are places for two more in all, then the oldest has to go, wherever it is from.
    for (let count = 0; count < 3; count += 1) await secured(target, 'http/1.1', '127.0.0.2');
    await gone(strangers[1] as TLSSocket);
    expect([strangers[2]?.destroyed, ninth.destroyed]).toEqual([false, false]);
    const late = fixture.node(target, 'A');
    await late.start();
    for (const node of [...nodes, late]) expect(await node.heartbeat()).toBe(true);
    expect(await counted('aegis_gateway_connections_refused', 'reason="made-room"')).toBeGreaterThanOrEqual(2);
  });

  it('nobody begins connections faster than its address may, but nodes', async () => {
    const target = await open({ rates: { connections: { address: small } } });
    // Each shows who it is, and is forgotten.
    for (let count = 0; count < 2 * BURST; count += 1) {
      const node = fixture.node(target, 'A');
      await node.start();
      node.close();
    }
    const begun = [];
    while (begun.length < 2 * BURST) {
      const socket = await secured(target, 'h2').catch(() => null);
      if (socket === null) break;
      begun.push(socket);
    }
    expect(begun).toHaveLength(BURST);
    expect(await counted('aegis_gateway_connections_refused', 'reason="too-fast"')).toBe(1);
    expect(await counted('aegis_gateway_rate_limited', 'class="connections"')).toBe(1);
  });
});

describe('a connection of a stranger ends', () => {
  it('when it opens streams and resets them', async () => {
    const socket = await secured(await open({}), 'h2');
    const resets = Array.from({ length: 200 }, (_, at) => [
      http2Frames.call(2 * at + 1),
      http2Frames.reset(2 * at + 1),
    ]);
    socket.resume().write(Buffer.concat([http2Frames.preface(), ...resets.flat()]));
    await gone(socket);
    expect(await counted('aegis_gateway_connections_refused', 'reason="flood"')).toBe(1);
  });

  it('when it does nothing but ping, or change its settings', async () => {
    const target = await open({});
    for (const nothing of [http2Frames.ping, http2Frames.settings]) {
      const socket = await secured(target, 'h2');
      socket.resume().write(http2Frames.preface());
      // Slowly: what our side has not answered yet, nghttp2 counts itself.
      for (let sent = 0; sent < 10_000 && !socket.destroyed; sent += 5) {
        socket.write(Buffer.concat(Array.from({ length: 5 }, nothing)));
        await new Promise(setImmediate);
      }
      await gone(socket);
    }
    expect(await counted('aegis_gateway_connections_refused', 'reason="flood"')).toBe(2);
  });

  it('when it asks over HTTP/1.1 again and again, for whatever', async () => {
    const socket = await secured(await open({}), 'http/1.1');
    let answers = 0;
    socket.on('data', (bytes) => {
      answers += String(bytes).split('HTTP/1.1 ').length - 1;
    });
    // One after the other: more than sixteen ahead would end it, too.
    for (let asked = 0; asked < 1_000 && !socket.destroyed; asked += 1) {
      socket.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
      await eventually(() => expect(answers > asked || socket.destroyed).toBe(true));
    }
    await gone(socket);
    expect(answers).toBe(100);
    expect(await counted('aegis_gateway_connections_refused', 'reason="flood"')).toBe(1);
  });

  it('when what it says is neither', async () => {
    const target = await open({});
    for (const protocol of ['h2', 'http/1.1'] as const) {
      const socket = await secured(target, protocol);
      socket.resume().write(Buffer.alloc(100_000, 0xfe));
      await gone(socket);
    }
  });
});
