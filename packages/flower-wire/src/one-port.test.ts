import { once } from 'node:events';
import { createServer } from 'node:http';
import { type ClientHttp2Session, connect } from 'node:http2';
import { Server } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { listenOnePort, type OnePort, type RefusedConnection } from './one-port.ts';

let port: OnePort | undefined;
const sessions: ClientHttp2Session[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  await port?.close();
});

describe('an HTTP/2 connection', () => {
  it('that never carries a call is closed, one with a call in its past stays', async () => {
    const refused: RefusedConnection[] = [];
    const grpc = new Server();
    const same = (bytes: Buffer): Buffer => bytes;
    const method = { path: '/test.Echo/Say', requestStream: false, responseStream: false } as const;
    const codec = {
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
    grpc.addService(
      { Say: { ...method, ...codec } },
      {
        Say: (call: { getPeer(): string; request: Buffer }, answer: (error: null, bytes: Buffer) => void) => {
          port?.connectionOf(call.getPeer());
          answer(null, call.request);
        },
      },
    );
    const open = await listenOnePort({
      host: '127.0.0.1',
      port: 0,
      tls: null,
      http: createServer(),
      grpc,
      limits: { firstCallMs: 100 },
      onRefused: (reason) => refused.push(reason),
    });
    port = open;
    const newSession = (): ClientHttp2Session => {
      const session = connect(`http://127.0.0.1:${open.address.port}`);
      session.on('error', () => {});
      sessions.push(session);
      return session;
    };
    const say = async (session: ClientHttp2Session): Promise<string> => {
      const head = { ':method': 'POST', ':path': method.path, 'content-type': 'application/grpc', te: 'trailers' };
      const stream = session.request(head).resume();
      stream.end(Buffer.alloc(5));
      const [trailers] = await once(stream, 'trailers');
      return String(trailers['grpc-status']);
    };
    const busy = newSession();
    expect(await say(busy)).toBe('0');
    const silent = newSession();
    await once(silent, 'close');
    expect(refused).toEqual(['silent']);
    expect(await say(busy)).toBe('0');
    expect(open.connections()).toBe(1);
  });
});
