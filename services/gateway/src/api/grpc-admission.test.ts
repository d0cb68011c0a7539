import { once } from 'node:events';
import { type ClientHttp2Session, connect, constants, type OutgoingHttpHeaders } from 'node:http2';
import { createTelemetry } from '@aegis/service-kit';
import { eventually, withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture, TOKEN } from '../testing/gateway-fixture.ts';
import { NodeKey } from '../testing/node-key.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';

// What a client can make the gateway hold over gRPC, told by how many bytes it takes before the stream is reset.

const MIB = 2 ** 20;
/** Windows of HTTP/2 and buffers of the sockets: what leaves a client before it can hear the answer. */
const IN_FLIGHT = 4 * MIB;
const [OK, INVALID, UNAVAILABLE, UNAUTHENTICATED] = ['0', '3', '14', '16'];

const nats = withNats();
const telemetry = createTelemetry({ service: 'test', version: '0', env: {} });
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
const sessions: ClientHttp2Session[] = [];

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), new ScriptedAggregator());
  gateway = await fixture.gateway({ telemetry });
});
afterAll(async () => {
  for (const session of sessions) session.destroy();
  await fixture.close();
});

const newSession = (): ClientHttp2Session => {
  const session = connect(`http://${gateway.target.host}:${gateway.target.port}`);
  session.on('error', () => {});
  sessions.push(session);
  return session;
};

const credential = (at = Date.now()): OutgoingHttpHeaders => {
  const { publicKeyPem, timestamp, signature } = new NodeKey().sign(at);
  return {
    'flwr-public-key-bin': publicKeyPem.toString('base64'),
    'flwr-timestamp': timestamp,
    'flwr-signature-bin': signature.toString('base64'),
  };
};

interface Outcome {
  status: string;
  message: string;
  /** Bytes of the body that left the client. */
  sent: number;
  rstCode: number;
}

/** Sends `length` bytes of a frame that announces `announced`, as fast as it is let, until the stream closes. */
const flood = (
  path: string,
  headers: OutgoingHttpHeaders,
  { announced, length = announced, compressed = false }: { announced: number; length?: number; compressed?: boolean },
  session = newSession(),
): Promise<Outcome> =>
  new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const outcome: Outcome = { status: '', message: '', sent: 0, rstCode: -1 };
    const read = (fields: Record<string, unknown>): void => {
      outcome.status = String(fields['grpc-status'] ?? outcome.status);
      outcome.message = decodeURIComponent(String(fields['grpc-message'] ?? outcome.message));
    };
    stream.on('response', read);
    stream.on('trailers', read);
    stream.on('error', () => {});
    stream.on('close', () => resolve({ ...outcome, rstCode: stream.rstCode ?? -1 }));
    stream.resume();
    const prefix = Buffer.alloc(5);
    prefix.writeUInt8(compressed ? 1 : 0, 0);
    prefix.writeUInt32BE(announced, 1);
    stream.write(prefix);
    const piece = Buffer.alloc(256 * 1024);
    const more = (): void => {
      if (stream.destroyed || stream.writableEnded) return;
      if (outcome.sent >= length) return void stream.end();
      stream.write(piece, (error) => {
        if (error) return;
        outcome.sent += piece.byteLength;
        more();
      });
    };
    more();
  });

describe('a gRPC call', () => {
  it('of a stranger is reset at its head: three bodies of 200 MiB never arrive', async () => {
    const floods = await Promise.all(
      Array.from({ length: 3 }, () => flood('/flwr.proto.Fleet/PullMessages', {}, { announced: 200 * MIB })),
    );
    for (const { status, message, sent, rstCode } of floods) {
      expect({ status, rstCode }).toEqual({ status: UNAUTHENTICATED, rstCode: constants.NGHTTP2_NO_ERROR });
      expect(message).toContain('NODE_UNAUTHENTICATED');
      expect(sent).toBeLessThan(IN_FLIGHT);
    }
  });

  it.each(['PushObject', 'PushMessages', 'PullObject'])('%s with an old timestamp is reset too', async (rpc) => {
    const old = credential(Date.now() - 600_000);
    const { status, message, sent } = await flood(`/flwr.proto.Fleet/${rpc}`, old, { announced: 60 * MIB });
    expect(status).toBe(UNAUTHENTICATED);
    expect(message).toContain('NODE_TIMESTAMP');
    expect(sent).toBeLessThan(IN_FLIGHT);
  });

  it('through the adapter needs a credential as well', async () => {
    const { status, sent } = await flood('/flwr.proto.GrpcAdapter/SendReceive', {}, { announced: 60 * MIB });
    expect(status).toBe(UNAUTHENTICATED);
    expect(sent).toBeLessThan(IN_FLIGHT);
  });

  it.each([
    ['/flwr.proto.Fleet/PullMessages', MIB, UNAVAILABLE],
    ['/flwr.proto.Fleet/PushMessages', 25 * MIB, INVALID],
    ['/flwr.proto.Fleet/PushObject', 65 * MIB, INVALID],
    ['/flwr.proto.Fleet/PushObject', 400 * MIB, INVALID],
    ['/flwr.proto.Control/ListRuns', MIB, '8'],
    ['/flwr.proto.Control/StartRun', 17 * MIB, '8'],
    ['/grpc.health.v1.Health/Check', MIB, '8'],
  ])('to %s of %i bytes is too large by its announcement', async (path, announced, expected) => {
    const { status, message, sent } = await flood(path, credential(), { announced, length: 400 * MIB });
    expect(status).toBe(expected);
    expect(message).toMatch(/larger than this call allows/);
    expect(sent).toBeLessThan(IN_FLIGHT);
  });

  it('cannot hide further messages behind a small one', async () => {
    const { status, sent } = await flood('/grpc.health.v1.Health/Check', {}, { announced: 0, length: 400 * MIB });
    expect(status).not.toBe(OK);
    expect(sent).toBeLessThan(IN_FLIGHT);
  });

  it('of a node is not taken compressed', async () => {
    const frame = { announced: 1024, length: 0, compressed: true };
    const { status, message } = await flood('/flwr.proto.Fleet/PushObject', credential(), frame);
    expect(status).toBe(INVALID);
    expect(message).toContain('ompressed');
  });

  it.each(['', 'wrong'])('of an operator with the token %j is reset at its head', async (token) => {
    const headers = token === '' ? {} : { authorization: `Bearer ${token}` };
    const path = '/aegis.operator.v1.Operator/ImportModel';
    const { status, sent } = await flood(path, headers, { announced: 200 * MIB });
    expect(status).toBe(UNAUTHENTICATED);
    expect(sent).toBeLessThan(IN_FLIGHT);
  });

  it('of an operator may be larger than any of a node', async () => {
    const headers = { authorization: `Bearer ${TOKEN}` };
    const path = '/aegis.operator.v1.Operator/ImportModel';
    const { message, sent } = await flood(path, headers, { announced: 80 * MIB });
    expect(message).not.toMatch(/larger than/);
    expect(sent).toBe(80 * MIB);
  });

  it('that was refused leaves its connection usable', async () => {
    const session = newSession();
    for (let round = 0; round < 3; round += 1) {
      const path = '/flwr.proto.Fleet/PushObject';
      expect((await flood(path, {}, { announced: 60 * MIB }, session)).status).toBe(UNAUTHENTICATED);
    }
    const { status } = await flood('/grpc.health.v1.Health/Check', {}, { announced: 0 }, session);
    expect(status).toBe(OK);
  });

  it('counts its bytes as bodies in memory while they arrive, and not after', async () => {
    const held = async (): Promise<number> =>
      Number(/aegis_gateway_bodies_held_bytes(?:\{[^}]*\})? (\d+)/.exec(await telemetry.renderMetrics())?.[1]);
    const stream = newSession().request({
      ':method': 'POST',
      ':path': '/flwr.proto.Fleet/PushObject',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...credential(),
    });
    stream.on('error', () => {});
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(60 * MIB, 1);
    stream.write(Buffer.concat([prefix, Buffer.alloc(3 * MIB)]));
    await eventually(async () => expect(await held()).toBe(3 * MIB + 5));
    stream.close(constants.NGHTTP2_CANCEL);
    await once(stream, 'close');
    await eventually(async () => expect(await held()).toBe(0));
  });
});
