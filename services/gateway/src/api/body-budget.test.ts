import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createTelemetry } from '@aegis/service-kit';
import { eventually, withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture } from '../testing/gateway-fixture.ts';
import type { Signed } from '../testing/node-key.ts';
import { npyOf } from '../testing/npy.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';
import type { FlowerDialect } from '../testing/simulated-node.ts';
import { BodyBudget, LARGE_BODY } from './body-budget.ts';

describe('body budget', () => {
  const full = expect.objectContaining({ code: 'UNAVAILABLE' });
  const limited = expect.objectContaining({ code: 'RATE_LIMIT' });

  it('counts what has arrived, and gives it back once', () => {
    const budget = new BodyBudget(10 * LARGE_BODY);
    const body = budget.open(9 * LARGE_BODY);
    expect(budget.bytes()).toBe(0);
    body.add(4 * LARGE_BODY);
    body.add(2 * LARGE_BODY);
    expect(budget.bytes()).toBe(6 * LARGE_BODY);
    body.release();
    body.release();
    expect(budget.bytes()).toBe(0);
    expect(budget.totalBytes()).toBe(6 * LARGE_BODY);
  });

  it('lets those that do not fit wait in their order, and start as room becomes free', async () => {
    const budget = new BodyBudget(10 * LARGE_BODY);
    const [first, second, third] = (
      [
        [6, 'a'],
        [6, 'b'],
        [3, 'c'],
      ] as const
    ).map(([size, holder]) => budget.open(size * LARGE_BODY, holder));
    expect(first?.add(LARGE_BODY)).toBeUndefined();
    const turns = [second?.add(LARGE_BODY), third?.add(LARGE_BODY)];
    // The third would fit; it does not overtake.
    expect(turns.every((turn) => turn instanceof Promise)).toBe(true);
    expect(budget.bytes()).toBe(LARGE_BODY);
    first?.release();
    await Promise.all(turns);
    expect(budget.bytes()).toBe(2 * LARGE_BODY);
    second?.release();
    third?.release();
    expect(budget.bytes()).toBe(0);
  });

  it('tells who waited too long to come back, and forgets who left meanwhile', async () => {
    const budget = new BodyBudget(10 * LARGE_BODY, 20);
    const holder = budget.open(10 * LARGE_BODY);
    holder.add(10 * LARGE_BODY);
    await expect(budget.open(LARGE_BODY).add(LARGE_BODY)).rejects.toEqual(full);
    const leaver = budget.open(5 * LARGE_BODY);
    const turn = leaver.add(LARGE_BODY);
    leaver.release();
    await expect(turn).rejects.toEqual(full);
    holder.release();
    expect(budget.bytes()).toBe(0);
  });

  it('refuses a body of unknown length when it grows past the room, and frees what it had', () => {
    const budget = new BodyBudget(10 * LARGE_BODY);
    const [first, second] = [budget.open(0, 'a'), budget.open(0, 'b')];
    first.add(6 * LARGE_BODY);
    second.add(3 * LARGE_BODY);
    expect(() => second.add(2 * LARGE_BODY)).toThrow(full);
    expect(budget.bytes()).toBe(6 * LARGE_BODY);
  });

  it('lets whoever holds least go first, and leaves nobody more than half while others come', async () => {
    const budget = new BodyBudget(10 * LARGE_BODY);
    const open = (size: number, holder: string) => {
      const body = budget.open(size * LARGE_BODY, holder);
      return { body, turn: body.add(size * LARGE_BODY) };
    };
    const [one, two] = [open(3, 'greedy'), open(2, 'greedy')];
    expect([one.turn, two.turn]).toEqual([undefined, undefined]);
    // There is room, but not for who has half of it.
    const third = open(1, 'greedy');
    expect(third.turn).toBeInstanceOf(Promise);
    const other = open(4, 'modest');
    expect(other.turn).toBeUndefined();
    const [fourth, another] = [open(2, 'greedy'), open(3, 'newcomer')];
    expect(another.turn).toBeInstanceOf(Promise);
    one.body.release();
    await Promise.all([another.turn, third.turn]);
    expect(budget.bytes()).toBe(10 * LARGE_BODY);
    another.body.release();
    await fourth.turn;
  });

  it('leaves strangers one part together, counts each of their bytes, and lets few of them wait', () => {
    const budget = new BodyBudget(10 * LARGE_BODY);
    const bodies = Array.from({ length: 10 }, () => budget.open(LARGE_BODY, null));
    for (const body of bodies) expect(body.add(LARGE_BODY / 2)).toBeUndefined();
    expect(budget.bytes()).toBe(5 * LARGE_BODY);
    expect(() => bodies[0]?.add(1)).toThrow(limited);
    const waiting = Array.from({ length: 64 }, () => budget.open(1, null).add(LARGE_BODY));
    expect(waiting.every((turn) => turn instanceof Promise)).toBe(true);
    expect(() => budget.open(1, null).add(LARGE_BODY)).toThrow(limited);
    expect(budget.open(5 * LARGE_BODY, 'node').add(LARGE_BODY)).toBeUndefined();
  });

  it('is not filled by those who only announce', () => {
    const budget = new BodyBudget(10 * LARGE_BODY);
    for (let liar = 0; liar < 100; liar += 1) budget.open(10 * LARGE_BODY).add(LARGE_BODY - 1);
    expect(budget.open(10 * LARGE_BODY).add(10 * LARGE_BODY)).toBeUndefined();
  });

  it('asks nothing of small bodies, and takes one that is larger than itself alone', async () => {
    const budget = new BodyBudget(LARGE_BODY);
    for (let body = 0; body < 100; body += 1) expect(budget.open().add(LARGE_BODY - 1)).toBeUndefined();
    const body = budget.open(50 * LARGE_BODY);
    body.add(50 * LARGE_BODY);
    const next = budget.open(LARGE_BODY).add(LARGE_BODY);
    expect(next).toBeInstanceOf(Promise);
    body.release();
    await next;
    expect(budget.bytes()).toBe(LARGE_BODY);
  });
});

describe('a gateway with no room left', () => {
  const nats = withNats();
  const aggregator = new ScriptedAggregator();
  let fixture: GatewayFixture;
  let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
  const telemetry = createTelemetry({ service: 'test', version: '0', env: {} });
  const metric = async (name: string): Promise<number> =>
    Number(new RegExp(`${name}(?:\\{[^}]*\\})? (\\d+)`).exec(await telemetry.renderMetrics())?.[1]);

  beforeAll(async () => {
    fixture = await GatewayFixture.open(nats(), aggregator);
    gateway = await fixture.gateway({ config: { limits: { 'upload-mib': 6, 'upload-wait-seconds': 0.3 } }, telemetry });
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

    // Somebody sends 5 MiB but for the last byte.
    const slow = pushing(node.sign(), 5_242_880);
    slow.write(Buffer.alloc(5_242_879));
    await eventually(async () => (await metric('aegis_gateway_bodies_held_bytes')) === 5_242_879);
    await expect(node.pushPart(reply, chunk, session)).rejects.toMatchObject({ status: dialect === 'A' ? 503 : 14 });
    expect(await node.heartbeat()).toBe(true);
    slow.destroy();
    const before = await metric('aegis_gateway_body_bytes_total');
    expect(before).toBeGreaterThanOrEqual(5_242_879);
    expect(await eventually(() => node.pushPart(reply, chunk, session))).toBe(true);
    expect(await metric('aegis_gateway_body_bytes_total')).toBeGreaterThan(before + 1_000_000);
  });

  /** The head of a push over HTTP/1.1. */
  const pushing = (signed: Partial<Signed> | undefined, length: number): Socket => {
    const socket = connect(gateway.target.port, gateway.target.host);
    const credential = signed && [
      `flwr-public-key: ${signed.publicKeyPem?.toString('base64')}`,
      `flwr-timestamp: ${signed.timestamp}`,
      `flwr-signature: ${signed.signature?.toString('base64')}`,
    ];
    const head = ['POST /v1/fleet/push-object HTTP/1.1', 'host: x', 'content-type: application/protobuf'];
    socket.write([...head, ...(credential ?? []), `content-length: ${length}`, '', ''].join('\r\n'));
    return socket;
  };

  it.each<FlowerDialect>(['A', 'B'])('takes no notice of silent announcements, dialect %s', async (dialect) => {
    const strangers = Array.from({ length: 4 }, () => pushing(undefined, 67_108_864));
    for (const stranger of strangers) {
      const [answer] = await once(stranger, 'data');
      expect(String(answer)).toContain('HTTP/1.1 401');
    }
    const node = fixture.node(gateway.target, dialect);
    await node.start();
    // These show a node's headers; they still bring nothing.
    const liars = Array.from({ length: 4 }, () => pushing(node.sign(), 67_108_864));
    await Promise.all(liars.map((liar) => once(liar, 'connect')));
    await fixture.task(node.nodeId);
    const w = npyOf(Float32Array.from({ length: 500_000 }, (_, index) => index + fixture.next()));
    const metrics = [{ key: 'num-examples', value: { kind: 'integer', value: 1n } } as const];
    expect(await node.push(node.reply(await node.work(), { arrays: new Map([['w', w]]), metrics }))).toBe(true);
    for (const socket of [...strangers, ...liars]) socket.destroy();
  });
});
