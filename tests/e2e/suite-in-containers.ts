// The suite as deploy/docker/compose.yaml has it, of the images built from this checkout, with files of prepare.ts.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { prepare } from '../../deploy/docker/prepare.ts';
import { docker, Project, readCompose } from './compose.ts';

export type ServiceName = 'gateway' | 'aggregator' | 'secagg' | 'privacy-accountant' | 'nats';

export interface Suite {
  /** 127.0.0.1:port of the gateway, the same after a restart. */
  readonly address: string;
  readonly folder: string;
  readonly ca: string;
  /** The federation's own authority, as `aegis ca` keeps it. */
  readonly authority: string;
  readonly tokenFile: string;
  /** The container of a service, for the docker command. */
  container(service: ServiceName): string;
  /** SIGKILL: nothing gets a chance to tidy up. */
  kill(service: ServiceName): void;
  start(service: ServiceName): void;
  /** Until the image's own health check says that it is ready. */
  ready(service: ServiceName): Promise<void>;
  logs(): string;
  stop(): void;
}

export async function startSuite(): Promise<Suite> {
  const folder = mkdtempSync(join(tmpdir(), 'aegis-e2e-'));
  chmodSync(folder, 0o755);
  const state = join(folder, 'state');
  const publish = `127.0.0.1:${await freePort()}`;
  const project = new Project(`aegis-e2e-${process.pid}`, readCompose(await prepare({ state, publish, hosts: [] })));
  const stop = (): void => {
    project.down();
    rmSync(folder, { recursive: true, force: true });
  };
  const ready = async (service: ServiceName): Promise<void> => {
    for (;;) {
      const [status, health] = docker(
        ...['inspect', '--format', '{{.State.Status}} {{.State.Health.Status}}', project.container(service)],
      ).split(' ');
      if (health === 'healthy') return;
      if (status === 'exited' || status === 'restarting') throw new Error(`${service} ended`);
      await sleep(500);
    }
  };
  try {
    project.up();
    for (const service of ['aggregator', 'secagg', 'privacy-accountant', 'gateway'] as const) await ready(service);
  } catch (error) {
    console.log(project.logs());
    stop();
    throw error;
  }
  return {
    address: publish,
    folder,
    ca: join(state, 'pki/ca.pem'),
    authority: join(state, 'ca'),
    tokenFile: join(state, 'gateway/secrets/operator.token'),
    container: (service) => project.container(service),
    kill: (service) => docker('kill', project.container(service)),
    start: (service) => docker('start', project.container(service)),
    ready,
    logs: () => project.logs(),
    stop,
  };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
