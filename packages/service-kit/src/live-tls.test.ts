import { readFile, writeFile } from 'node:fs/promises';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { HealthCheckResponse_ServingStatus, HealthService } from '@aegis/contracts/grpc/health/v1/health';
import { eventually, type TestPki, testPki } from '@aegis/testkit';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { grpcChannel } from './grpc-channel.ts';
import { serveGrpc } from './grpc-server.ts';
import { liveTls } from './live-tls.ts';
import { silentLogger } from './logger.ts';
import type { TlsFiles } from './tls-material.ts';

let pki: TestPki;
let server: TlsFiles;
let client: TlsFiles;
const hosts = ['localhost', '127.0.0.1'];
const ends: (() => Promise<void> | void)[] = [];
beforeEach(async () => {
  pki = await testPki();
  server = await pki.issue({ name: 'server', hosts });
  client = await pki.issue({ name: 'client', hosts });
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await pki.remove();
});
const looking = { everyMs: 10 };

/** Serial number of the certificate that a new connection is shown. */
const shown = async (port: number): Promise<string> => {
  const [ca, cert, key] = await Promise.all([client.ca, client.cert, client.key].map((file) => readFile(file)));
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = tlsConnect({ port, host: 'localhost', ca, cert, key, ALPNProtocols: ['h2'] }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on('error', reject);
  });
};

it('a server shows its renewed certificate to who connects, and calls go on', async () => {
  const tls = liveTls(server, looking);
  const grpc = await serveGrpc({ address: '127.0.0.1:0', tls, callers: {}, services: [], log: silentLogger });
  ends.push(() => grpc.close());
  const channel = grpcChannel({ address: `127.0.0.1:${grpc.port}`, tls: client, serverName: 'localhost' });
  ends.push(() => channel.close());
  expect(await channel.ready()).toBe(true);
  const before = await shown(grpc.port);
  await pki.issue({ name: 'server', hosts });
  await eventually(async () => (await shown(grpc.port)) !== before);
  expect(await channel.ready()).toBe(true);
});

it('a client shows its renewed certificate, and calls under way end as they would have', async () => {
  const grpc = await serveGrpc({ address: '127.0.0.1:0', tls: server, callers: {}, services: [], log: silentLogger });
  ends.push(() => grpc.close());
  const tls = liveTls(client, looking);
  const channel = grpcChannel({ address: `127.0.0.1:${grpc.port}`, tls, serverName: 'localhost' });
  ends.push(() => channel.close());
  const stop = new AbortController();
  const watched = channel.client(HealthService).watch({ service: '' }, { signal: stop.signal })[Symbol.asyncIterator]();
  const { SERVING } = HealthCheckResponse_ServingStatus;
  expect((await watched.next()).value).toEqual({ status: SERVING });
  const before = tls.now.cert;
  await pki.issue({ name: 'client', hosts });
  await eventually(() => !tls.now.cert.equals(before));
  expect(await channel.ready()).toBe(true);
  // The stream that was open lives: nothing has ended it.
  const next = watched.next().then(
    () => 'ended',
    () => 'ended',
  );
  expect(await Promise.race([next, new Promise((resolve) => setTimeout(resolve, 300, 'open'))])).toBe('open');
  stop.abort();
});

it('passes over a key that is not the certificate’s, and takes the pair when it is whole', async () => {
  const tls = liveTls(server, looking);
  ends.push(() => tls.close());
  const [before, other] = [tls.now.cert, await pki.issue({ name: 'other', hosts })];
  let changes = 0;
  tls.onChange(() => {
    changes += 1;
  });
  await writeFile(server.cert, await readFile(other.cert));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(tls.now.cert.equals(before)).toBe(true);
  await writeFile(server.key, await readFile(other.key));
  await eventually(() => changes === 1);
  expect(tls.now.cert.equals(await readFile(other.cert))).toBe(true);
});

it('says which file cannot be read', () => {
  expect(() => liveTls({ ...server, key: '/nowhere/key.pem' })).toThrow(/tls\.key: \/nowhere\/key\.pem/);
});
