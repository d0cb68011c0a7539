import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type NatsServer, type NatsServerOptions, natsServerBinary, startNatsServer } from '@aegis/bus';
import { openDevPki } from '@aegis/service-kit';
import { makeCertificates } from '../measure/certificates.ts';
import { Child } from '../measure/child.ts';
import { freePort, listening } from '../measure/scratch.ts';
import { profiling } from './aegis.ts';
import { importApp, type Reach } from './aegis-cli.ts';
import type { BenchApp } from './app.ts';
import type { Server, ServerProcess } from './contract.ts';
import { flwrRun, ROOT } from './flwr-cli.ts';

const START_TIMEOUT_MS = 60_000;

type Service = 'gateway' | 'aggregator';
export type Part = Service | 'nats-server';

interface Beginning {
  folder: string;
  nats: NatsServer;
  natsOptions: NatsServerOptions;
  port: number;
  ca: string;
  reach: Reach;
  gatewayNode: readonly string[];
}

/** Gateway, aggregator and nats-server as processes of their own, as a cluster runs them: mTLS and gRPC in between. */
export class SeparateAegis implements Server {
  readonly name = 'Aegis separate';
  readonly host = '127.0.0.1';
  readonly ca: string;
  readonly reach: Reach;
  readonly #folder: string;
  readonly #port: number;
  readonly #natsOptions: NatsServerOptions;
  readonly #gatewayNode: readonly string[];
  readonly #services = new Map<Service, Child>();
  #nats: NatsServer;
  #natsAlive = true;

  private constructor({ folder, nats, natsOptions, port, ca, reach, gatewayNode }: Beginning) {
    this.#folder = folder;
    this.#nats = nats;
    this.#natsOptions = natsOptions;
    this.#port = port;
    this.ca = ca;
    this.reach = reach;
    this.#gatewayNode = gatewayNode;
  }

  /** `gateway`: keys of the gateway's configuration besides those that are needed; `gatewayNode`: options for its Node. */
  static async start(
    folder: string,
    gateway: Record<string, unknown> = {},
    gatewayNode: readonly string[] = [],
  ): Promise<SeparateAegis> {
    const natsOptions = {
      binary: natsServerBinary(),
      storeDir: join(folder, 'nats'),
      port: 0,
      logFile: join(folder, 'nats.log'),
    };
    const nats = await startNatsServer(natsOptions);
    let suite: SeparateAegis | undefined;
    try {
      const [port, inner] = [await freePort(), await freePort()];
      const { ca, caFile, reach } = await writeConfiguration(folder, nats, { port, inner, gateway });
      suite = new SeparateAegis({ folder, nats, natsOptions, port, ca, gatewayNode, reach: { ...reach, caFile } });
      for (const [service, opened] of [
        ['aggregator', inner],
        ['gateway', port],
      ] as const) {
        suite.#launch(service);
        await listening(opened, START_TIMEOUT_MS, () => suite?.alive(service) ?? false);
      }
      return suite;
    } catch (error) {
      await (suite ?? nats).stop();
      throw error;
    }
  }

  get ports(): { http: number; grpc: number } {
    return { http: this.#port, grpc: this.#port };
  }

  get processes(): ServerProcess[] {
    const services = [...this.#services].map(([name, child]) => ({ name, pid: child.pid }));
    return [...services, { name: 'nats-server', pid: this.#nats.pid }];
  }

  prepare(app: BenchApp): Promise<void> {
    return importApp(this.#folder, this.reach, app);
  }

  run(app: BenchApp): Promise<bigint> {
    return flwrRun(this.#folder, this.#port, this.reach.caFile, app);
  }

  alive(part: Part): boolean {
    return part === 'nats-server' ? this.#natsAlive : (this.#services.get(part)?.alive ?? false);
  }

  /** SIGKILL. */
  async kill(part: Part): Promise<void> {
    if (part !== 'nats-server') return await this.#services.get(part)?.kill();
    this.#natsAlive = false;
    process.kill(this.#nats.pid, 'SIGKILL');
    await this.#nats.exited;
  }

  /** The same files and ports. */
  async startAgain(part: Part): Promise<void> {
    if (part !== 'nats-server') return this.#launch(part);
    const { port, credentials } = this.#nats;
    this.#nats = await startNatsServer({ ...this.#natsOptions, port, credentials });
    this.#natsAlive = true;
  }

  async stop(): Promise<void> {
    await this.#services.get('gateway')?.stop();
    await this.#services.get('aggregator')?.stop();
    if (this.#natsAlive) await this.#nats.stop();
  }

  #launch(service: Service): void {
    const main = join(ROOT, 'services', service, 'src/main.ts');
    const node = service === 'gateway' ? this.#gatewayNode : [];
    const config = join(this.#folder, `${service}.yaml`);
    const child = new Child(process.execPath, [...profiling(), ...node, main, '--config', config], {
      cwd: this.#folder,
      log: join(this.#folder, `${service}.log`),
    });
    this.#services.set(service, child);
  }
}

/** Certificates, secrets and one configuration file per service. JSON is YAML. */
async function writeConfiguration(
  folder: string,
  nats: NatsServer,
  { port, inner, gateway }: { port: number; inner: number; gateway: Record<string, unknown> },
): Promise<{ ca: string; caFile: string; reach: Omit<Reach, 'caFile'> }> {
  await mkdir(folder, { recursive: true });
  const secret = async (name: string, content: string): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, content, { mode: 0o600 });
    return path;
  };
  const edge = await makeCertificates(folder);
  const pki = await openDevPki(join(folder, 'pki'));
  const issue = (name: string) => pki.issue({ name, hosts: [name, 'localhost', '127.0.0.1'] });
  const tokenFile = await secret('operator.token', randomBytes(32).toString('base64url'));
  const bus = {
    servers: [nats.url],
    user: nats.credentials.user,
    'password-file': await secret('nats-password', nats.credentials.password.reveal()),
  };
  await secret(
    'aggregator.yaml',
    JSON.stringify({
      aggregator: { 'state-dir': join(folder, 'aggregator') },
      listen: {
        address: `127.0.0.1:${inner}`,
        tls: await issue('aggregator'),
        callers: { 'aegis.aggregator.v1.Intake': ['gateway'], 'aegis.aggregator.v1.Runs': ['gateway'] },
      },
      nats: bus,
    }),
  );
  await secret(
    'gateway.yaml',
    JSON.stringify({
      gateway: {
        listen: `127.0.0.1:${port}`,
        tls: { cert: edge.certFile, key: edge.keyFile },
        enrolment: 'open',
        'operator-token-file': tokenFile,
        ...gateway,
      },
      nats: bus,
      aggregator: { address: `127.0.0.1:${inner}`, 'server-name': 'aggregator', tls: await issue('gateway') },
    }),
  );
  return { ca: edge.ca, caFile: edge.caFile, reach: { address: `127.0.0.1:${port}`, tokenFile } };
}
