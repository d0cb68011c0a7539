import { createServer } from 'node:http';
import type { Telemetry } from './telemetry.ts';

export interface MetricsDoor {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * For a network of the operator's, in plain HTTP: GET /metrics for Prometheus, GET /livez and GET /readyz for whoever supervises the process. Kubernetes'
 * own gRPC probes speak no TLS, so they could not ask grpc.health.v1 at the services' ports; this answers the same question.
 * `notReady`: why no calls are taken (503 with these words), or null (200). /livez is 200 as long as the process answers anything.
 */
export function serveMetrics(
  address: string,
  telemetry: Telemetry,
  notReady: () => string | null,
): Promise<MetricsDoor> {
  const server = createServer(async (request, response) => {
    const plain = (status: number, text: string): void =>
      void response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
    if (request.method !== 'GET') return plain(405, 'only GET');
    switch (request.url) {
      case '/metrics': {
        const text = await telemetry.renderMetrics();
        response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text);
        return;
      }
      case '/livez':
        return plain(200, 'alive');
      case '/readyz': {
        const reason = notReady();
        return reason === null ? plain(200, 'ready') : plain(503, reason);
      }
      default:
        return plain(404, 'here are /metrics, /livez and /readyz');
    }
  });
  const at = address.lastIndexOf(':');
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(Number(address.slice(at + 1)), address.slice(0, at).replace(/^\[|\]$/g, ''), () => {
      const bound = server.address();
      resolve({
        port: typeof bound === 'object' && bound !== null ? bound.port : 0,
        close: () =>
          new Promise((done) => {
            server.close(() => done());
            server.closeAllConnections();
          }),
      });
    });
  });
}
