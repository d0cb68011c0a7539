import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { HealthService } from '@aegis/contracts/grpc/health/v1/health';
import { createCa, issueLeaf } from '@aegis/service-kit';
import * as grpc from '@grpc/grpc-js';

const day = 86_400_000;

export interface Authority {
  pem: string;
  /** A leaf for `hosts`, made `daysAgo` and good for one day from then. */
  issue(options?: { hosts?: string[]; daysAgo?: number }): Promise<{ cert: string; key: string }>;
}

export async function createAuthority(name: string): Promise<Authority> {
  const ca = await createCa(name, Date.now() - 10 * day);
  return {
    pem: ca.certPem,
    async issue({ hosts = ['localhost', '127.0.0.1'], daysAgo = 0.5 } = {}) {
      const leaf = await issueLeaf(ca, { name: 'gateway', hosts, days: 1 }, Date.now() - daysAgo * day);
      return { cert: leaf.certPem, key: leaf.keyPem };
    },
  };
}

export interface FaultyServer {
  port: number;
  close(): Promise<void>;
}

/** A gateway as far as `aegis doctor` sees it: one TLS port, HTTP/1.1 and gRPC by ALPN. */
export async function startFaultyServer(
  tls: TlsOptions,
  answer: RequestListener,
  grpcStatus: 'serving' | 'not-serving' | 'absent' = 'serving',
): Promise<FaultyServer> {
  const http = createServer(answer);
  const server = new grpc.Server();
  if (grpcStatus !== 'absent') {
    server.addService(HealthService, {
      check: (_: unknown, reply: grpc.sendUnaryData<{ status: number }>) =>
        reply(null, { status: grpcStatus === 'serving' ? 1 : 2 }),
      watch: (call: grpc.ServerWritableStream<unknown, unknown>) => call.end(),
      list: (_: unknown, reply: grpc.sendUnaryData<unknown>) => reply(null, { statuses: {} }),
    } as unknown as grpc.UntypedServiceImplementation);
  }
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  const sockets = new Set<{ destroy(): void }>();
  const listener = createTlsServer({ ALPNProtocols: ['h2', 'http/1.1'], ...tls }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    if (socket.alpnProtocol === 'h2') injector.injectConnection(socket);
    else http.emit('connection', socket);
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return {
    port: (listener.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      injector.destroy();
      server.forceShutdown();
      http.closeAllConnections();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
