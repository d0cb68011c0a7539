import { createServer } from 'node:http';
import type { Telemetry } from './telemetry.ts';

export interface MetricsDoor {
  readonly port: number;
  close(): Promise<void>;
}

/** GET /metrics, for Prometheus. It says nothing that needs hiding, and is meant for a network of the operator's. */
export function serveMetrics(address: string, telemetry: Telemetry): Promise<MetricsDoor> {
  const server = createServer(async (request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') return response.writeHead(404).end();
    const text = await telemetry.renderMetrics();
    return response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text);
  });
  const at = address.lastIndexOf(':');
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(Number(address.slice(at + 1)), address.slice(0, at).replace(/^\[|\]$/g, ''), () => {
      const bound = server.address();
      resolve({
        port: typeof bound === 'object' && bound !== null ? bound.port : 0,
        close: () => new Promise((done) => server.close(() => done())),
      });
    });
  });
}
