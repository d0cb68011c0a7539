import { join } from 'node:path';
import { makeCertificates } from '../measure/certificates.ts';
import { Child } from '../measure/child.ts';
import { freePort, listening } from '../measure/scratch.ts';
import type { Server, StartServer } from './contract.ts';
import { flwrBin, flwrEnv, flwrRun } from './flwr-cli.ts';

/**
 * Flower's own server: a SuperLink over TLS that starts its superexec and the ServerApp itself, state in memory.
 * 1.41 speaks HTTP; for gRPC take 1.39, the last release whose Fleet API is gRPC.
 */
export const flower =
  (version: '1.41.0' | '1.39.0'): StartServer =>
  async (folder): Promise<Server> => {
    const certificates = await makeCertificates(folder);
    const { ca, caFile, certFile, keyFile } = certificates;
    const port = await freePort();
    const grpc = version === '1.39.0' ? await freePort() : 0;
    const control = version === '1.39.0' ? await freePort() : 0;
    const addresses = grpc
      ? ['--fleet-api-address', `127.0.0.1:${grpc}`, '--control-api-address', `127.0.0.1:${control}`]
      : [];
    const tls = ['--ssl-ca-certfile', caFile, '--ssl-certfile', certFile, '--ssl-keyfile', keyFile];
    const bin = flwrBin(version);
    const superlink = new Child(
      join(bin, 'flower-superlink'),
      [...tls, ...addresses, '--host', '127.0.0.1', '--port', `${port}`, '--disable-runtime-dependency-installation'],
      {
        env: { ...flwrEnv(folder), PATH: `${bin}:${process.env.PATH}` },
        log: join(folder, 'superlink.log'),
        cwd: folder,
      },
    );
    try {
      await listening(grpc || port, 60_000, () => superlink.alive);
    } catch (error) {
      await superlink.stop();
      throw new Error(`flwr ${version} did not start: ${await superlink.lastWords()}`, { cause: error });
    }
    return {
      name: `flwr ${version}`,
      host: '127.0.0.1',
      ports: { http: port, grpc },
      ca,
      processes: [{ name: 'superlink', pid: superlink.pid }],
      prepare: async () => {},
      run: (app) => flwrRun(folder, port, caFile, app),
      stop: () => superlink.stop(),
    };
  };
