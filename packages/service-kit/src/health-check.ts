// Whether a service that runs on this machine is ready, for a container's health check:
//   node health-check.ts --config FILE      the file that the service itself was started with; exit code 0: ready, 1: not
// Small on purpose: it is started again for each check, and loads neither the service nor gRPC.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { connect } from 'node:http2';
import https from 'node:https';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';

interface Door {
  readonly address: string;
  readonly tls?: { readonly ca?: string; readonly cert: string; readonly key: string } | undefined;
}

const timeoutMs = 4_000;

const here = (address: string): string => address.replace(/^(0\.0\.0\.0|\[::\])?:/, '127.0.0.1:');

/** grpc.health.v1.Health/Check of the whole server, as the service itself would be called: with its own certificate. */
const asksGrpc = ({ address, tls }: Door): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const files = tls && { ca: read(tls.ca), cert: read(tls.cert), key: read(tls.key) };
    // It is on this machine: the authority must have signed what answers, whatever host it was issued for.
    const session = connect(`${files ? 'https' : 'http'}://${here(address)}`, {
      ...files,
      checkServerIdentity: () => undefined,
    });
    session.once('error', reject);
    const call = session.request({
      ...{ ':method': 'POST', ':path': '/grpc.health.v1.Health/Check', te: 'trailers' },
      'content-type': 'application/grpc',
    });
    call.setTimeout(timeoutMs, () => session.destroy(new Error('no answer')));
    const chunks: Buffer[] = [];
    call.on('data', (chunk: Buffer) => chunks.push(chunk));
    call.once('error', reject);
    call.once('end', () => {
      session.close();
      // A frame of two bytes: field 1, SERVING.
      resolve(Buffer.concat(chunks).equals(Buffer.from([0, 0, 0, 0, 2, 0x08, 1])));
    });
    // An empty HealthCheckRequest.
    call.end(Buffer.alloc(5));
  });

/** GET /health of the gateway, which asks nobody for a certificate there. */
const asksHttp = ({ address, tls }: Door): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const { request } = tls ? https : http;
    const [host, port] = here(address).split(/:(?=\d+$)/);
    const options = { host, port, path: '/health', timeout: timeoutMs, rejectUnauthorized: false };
    const asked = request(options, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    asked.once('timeout', () => asked.destroy(new Error('no answer')));
    asked.once('error', reject).end();
  });

const read = (file: string | undefined): Buffer | undefined => (file === undefined ? undefined : readFileSync(file));

const doorOf = (config: Record<string, unknown>): (() => Promise<boolean>) => {
  const gateway = config.gateway as { listen: string; tls?: Door['tls'] } | undefined;
  if (gateway) return () => asksHttp({ address: gateway.listen, tls: gateway.tls });
  return () => asksGrpc(config.listen as Door);
};

const { config: file } = parseArgs({ options: { config: { type: 'string' } } }).values;
if (file === undefined) throw new Error('say which: --config FILE');
const serving = await doorOf(parse(readFileSync(file, 'utf8')) as Record<string, unknown>)().catch((error: Error) => {
  console.error(error.message);
  return false;
});
process.exit(serving ? 0 : 1);
