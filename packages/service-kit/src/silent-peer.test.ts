import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { HealthService } from '@aegis/contracts/grpc/health/v1/health';
import { eventually, freePort, testPki } from '@aegis/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { grpcChannel } from './grpc-channel.ts';
import { serveGrpc } from './grpc-server.ts';
import { silentLogger } from './logger.ts';

describe('a peer that takes connections and never answers', () => {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });

  /** What is left of a pod that vanished: connections stay open, nobody is behind them, and none is ended. */
  const silentPeer = async () => {
    const held: Socket[] = [];
    const server = createServer((socket) => held.push(socket.on('error', () => {})));
    ends.push(() => held.map((socket) => socket.destroy()));
    const port = await freePort();
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return { port, connected: once(server, 'connection'), vanish: () => server.close() };
  };

  it.each(['plain text', 'TLS'])('is given up, and whoever has its address then is reached (%s)', async (way) => {
    const silent = await silentPeer();
    const pki = await testPki();
    ends.push(() => pki.remove());
    const tlsOf = async (name: string) => (way === 'TLS' ? { tls: await pki.material(name) } : { insecure: true });
    const itsTls = await tlsOf('aggregator');
    const channel = grpcChannel({
      address: `127.0.0.1:${silent.port}`,
      serverName: 'aggregator',
      connectWaitMs: 1_000,
      ...(await tlsOf('gateway')),
    });
    ends.push(() => channel.close());
    const check = () => channel.client(HealthService).check({ service: '' });

    await expect(check()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await silent.connected;
    silent.vanish();
    const server = await serveGrpc({
      address: `127.0.0.1:${silent.port}`,
      callers: {},
      services: [],
      log: silentLogger,
      ...itsTls,
    });
    ends.push(() => server.close());
    await eventually(async () => expect(await check()).toMatchObject({ status: expect.any(Number) }));
  });
});
