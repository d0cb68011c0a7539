import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type ClientHttp2Session, connect } from 'node:http2';
import { text } from 'node:stream/consumers';
import { connect as tlsConnect } from 'node:tls';
import { type TestPki, testPki } from '@aegis/testkit';
import { Server } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { listenOnePort, type OnePort, type RefusedConnection } from './one-port.ts';

let port: OnePort | undefined;
const sessions: ClientHttp2Session[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  await port?.close();
});

/** With TLS, the status and body of GET /health for a client that offers these protocols. */
const health = async (open: OnePort, pki: TestPki, protocols: string[]) => {
  const { ca } = await pki.material('client');
  const socket = tlsConnect({ ...open.address, ca, servername: 'localhost', ALPNProtocols: protocols });
  await once(socket, 'secureConnect');
  const spoken = socket.alpnProtocol;
  if (spoken === 'http/1.1') {
    socket.end('GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    return { spoken, answer: await text(socket) };
  }
  const session = connect('https://localhost', { createConnection: () => socket });
  sessions.push(session);
  const stream = session.request({ ':path': '/health' });
  const [headers] = await once(stream, 'response');
  return { spoken, status: headers[':status'], type: headers['content-type'], answer: await text(stream) };
};

describe('a client of plain HTTP over TLS', () => {
  it('that speaks HTTP/2 too is served over HTTP/1.1, and one that speaks nothing else is told so', async () => {
    const pki = await testPki();
    const files = await pki.issue({ name: 'gateway', hosts: ['localhost'] });
    const tls = { cert: await readFile(files.cert), key: await readFile(files.key) };
    const http = createServer((_request, response) => response.end('well'));
    const open = await listenOnePort({ host: '127.0.0.1', port: 0, tls, http, grpc: new Server() });
    port = open;
    for (const protocols of [['h2', 'http/1.1'], ['http/1.1', 'h2'], ['http/1.1']]) {
      expect(await health(open, pki, protocols)).toEqual({ spoken: 'http/1.1', answer: expect.stringMatching(/well/) });
    }
    const refused = await health(open, pki, ['h2']);
    expect(refused).toMatchObject({ spoken: 'h2', status: 505, type: 'application/problem+json' });
    expect(JSON.parse(refused.answer)).toMatchObject({ code: 'HTTP_VERSION', status: 505 });
    await pki.remove();
  });
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
