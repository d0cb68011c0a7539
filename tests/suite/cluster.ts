// Gateways, aggregators, the privacy accountant and NATS as processes of their own, to be killed, paused and started again.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IntakeService, type RunSummary, RunsService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { LedgerOperatorService, LedgerReaderService, LedgerService } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { StartRunRequest, StartRunResponse } from '@aegis/contracts/flwr/proto/control';
import { grpcChannel, type ServiceChannel } from '@aegis/service-kit';
import {
  eventually,
  freePort,
  startTestNats,
  type TemporaryFolder,
  type TestNats,
  temporaryFolder,
} from '@aegis/testkit';
import { rawHttp, type Target } from '../../services/gateway/src/testing/wire-client.ts';

export { freePort };

const root = join(import.meta.dirname, '../..');

/** A busy machine takes its time to start several processes at once. */
const STARTING_MS = 50_000;

export type ServiceName = 'gateway' | 'aggregator' | 'privacy-accountant' | 'secagg' | 'issuer';

/** One service process: node services/<service>/src/main.ts --config <file>. */
export class Service {
  readonly port: number;
  /** Where it answers /metrics; 0 where the cluster was not asked for that. */
  readonly metricsPort: number;
  readonly #service: ServiceName;
  readonly #config: string;
  readonly #env: Record<string, string>;
  readonly #root: string;
  #child: ChildProcess | undefined;
  #exit: Promise<unknown> = Promise.resolve();
  #log = '';

  constructor(
    service: ServiceName,
    config: string,
    port: number,
    { metricsPort, env, from = root }: { metricsPort: number; env: Record<string, string>; from?: string | undefined },
  ) {
    this.metricsPort = metricsPort;
    this.#env = env;
    this.#root = from;
    this.#service = service;
    this.#config = config;
    this.port = port;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** What it wrote since it was first started. */
  log(): string {
    return this.#log;
  }

  /** `from`: the folder of another release of the suite. */
  start(from = this.#root): void {
    const main = join(from, 'services', this.#service, 'src/main.ts');
    const child = spawn(process.execPath, [main, '--config', this.#config], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...this.#env },
    });
    const keep = (piece: Buffer) => (this.#log += piece);
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    this.#exit = new Promise((resolve) => child.once('exit', resolve));
    this.#child = child;
  }

  /** Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exit;
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }
}

export interface ClusterOptions {
  aggregators?: number;
  gateways?: number;
  /** Where each aggregator keeps its state; default: one folder for all. */
  stateOf?: (index: number, folder: string) => string;
  leaseSeconds?: number;
  /** Folders of another release of the suite, for the services that are to be of it. */
  roots?: Partial<Record<ServiceName, string>>;
  /** More of the file of every aggregator. */
  aggregator?: Readonly<Record<string, unknown>>;
  /** Also starts the privacy accountant, and tells the others where it is. */
  accountant?: boolean;
  /** Also starts the secagg service, which believes this root (PEM file), and tells the others where it is. */
  federationRoot?: string;
  /** Of the gateways; default: plain text. */
  tls?: { ca: Buffer; cert: string; key: string; 'client-ca': string; 'client-crl': string };
  /** Each process also answers Prometheus. */
  metrics?: boolean;
  /** Variables of the processes beside our own. */
  env?: Record<string, string>;
}

export class Cluster {
  readonly nats: TestNats;
  readonly folder: string;
  readonly aggregators: Service[] = [];
  readonly gateways: Service[] = [];
  accountant: Service | undefined;
  secagg: Service | undefined;
  #ca: Buffer | undefined;
  readonly #folder: TemporaryFolder;
  readonly #channels = new Map<Service, ServiceChannel>();

  private constructor(nats: TestNats, folder: TemporaryFolder) {
    this.nats = nats;
    this.#folder = folder;
    this.folder = folder.path;
  }

  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const { aggregators = 1, gateways = 1, leaseSeconds = 2 } = options;
    const cluster = new Cluster(await startTestNats(), await temporaryFolder('cluster'));
    const { stateOf = (_index, folder) => join(folder, 'state') } = options;
    const file = async (name: string, content: unknown): Promise<string> => {
      const path = join(cluster.folder, name);
      // JSON is YAML.
      await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 });
      return path;
    };
    const { metrics = false, env = {} } = options;
    const service = async (kind: ServiceName, name: string, port: number, content: object): Promise<Service> => {
      const metricsPort = metrics ? await freePort() : 0;
      const door = metrics && { metrics: { address: `127.0.0.1:${metricsPort}` } };
      return new Service(kind, await file(`${name}.yaml`, { ...content, ...door }), port, {
        metricsPort,
        env,
        from: options.roots?.[kind],
      });
    };
    const { url, credentials } = cluster.nats.server;
    const nats = {
      servers: [url],
      user: credentials.user,
      'password-file': await file('password', credentials.password.reveal()),
    };
    const accountant: { accountant?: { address: string; insecure: true } } = {};
    if (options.accountant === true) {
      const port = await freePort();
      cluster.accountant = await service('privacy-accountant', 'accountant', port, {
        accountant: { 'state-dir': join(cluster.folder, 'accountant') },
        listen: { address: `127.0.0.1:${port}`, insecure: true },
        nats,
      });
      cluster.accountant.start();
      accountant.accountant = { address: `127.0.0.1:${port}`, insecure: true };
      await cluster.ready(cluster.accountant);
    }
    const masks: { secagg?: { address: string; insecure: true } } = {};
    if (options.federationRoot !== undefined) {
      const port = await freePort();
      cluster.secagg = await service('secagg', 'secagg', port, {
        secagg: { 'federation-root': options.federationRoot, threads: 1 },
        listen: { address: `127.0.0.1:${port}`, insecure: true },
        nats,
      });
      cluster.secagg.start();
      masks.secagg = { address: `127.0.0.1:${port}`, insecure: true };
      await cluster.ready(cluster.secagg);
    }
    const { ca, ...tls } = options.tls ?? {};
    cluster.#ca = ca;
    const edge = ca === undefined ? { insecure: true } : { tls, 'client-certificates': 'accept' };
    for (let i = 0; i < aggregators; i += 1) {
      const port = await freePort();
      const state = stateOf(i, cluster.folder);
      await mkdir(state, { recursive: true });
      const aggregator = await service('aggregator', `aggregator-${i}`, port, {
        aggregator: { 'state-dir': state, 'lease-seconds': leaseSeconds, ...options.aggregator },
        listen: { address: `127.0.0.1:${port}`, advertise: `127.0.0.1:${port}`, insecure: true },
        nats,
        ...accountant,
        ...masks,
      });
      cluster.aggregators.push(aggregator);
    }
    const address = cluster.aggregators.map(({ port }) => `127.0.0.1:${port}`);
    const unitKey = await file('unit.key', '5a'.repeat(32));
    for (let i = 0; i < gateways; i += 1) {
      const port = await freePort();
      const gateway = await service('gateway', `gateway-${i}`, port, {
        gateway: {
          ...{ listen: `127.0.0.1:${port}`, ...edge, enrolment: 'open', id: `gateway-${i}` },
          'unit-key-file': unitKey,
        },
        nats,
        aggregator: { address, insecure: true },
        ...accountant,
        ...masks,
      });
      cluster.gateways.push(gateway);
    }
    for (const one of [...cluster.aggregators, ...cluster.gateways]) one.start();
    await Promise.all(cluster.gateways.map((gateway) => cluster.up(gateway)));
    await Promise.all(cluster.aggregators.map((aggregator) => cluster.ready(aggregator)));
    return cluster;
  }

  target(gateway = 0): Target {
    const ca = this.#ca && { ca: this.#ca };
    return { host: '127.0.0.1', port: this.gateways[gateway]?.port ?? 0, ...ca };
  }

  /** Resolves when the gateway answers. */
  async up(gateway: Service): Promise<void> {
    const target = { host: '127.0.0.1', port: gateway.port, ...(this.#ca && { ca: this.#ca }) };
    await eventually(async () => {
      await rawHttp(target, undefined, { path: '/health', method: 'GET' });
      return true;
    }, STARTING_MS);
  }

  /** Resolves when the aggregator answers; after a restart, when it has taken its runs up. */
  async ready(aggregator: Service): Promise<void> {
    await eventually(() => this.#channel(aggregator).ready(), STARTING_MS);
  }

  /** What a probe of the aggregator is told: ready, the reason why not, or null when nobody answers. */
  async probe(aggregator: Service): Promise<string | null> {
    return fetch(`http://127.0.0.1:${aggregator.metricsPort}/readyz`).then(
      async (answer) => (await answer.text()).trim(),
      () => null,
    );
  }

  /** Straight to one aggregator, as a gateway calls it. */
  intake(aggregator: Service) {
    return this.#channel(aggregator).client(IntakeService);
  }

  /** Straight to the privacy accountant. */
  ledger() {
    if (this.accountant === undefined) throw new Error('this cluster has no accountant');
    const channel = this.#channel(this.accountant);
    return {
      ledger: channel.client(LedgerService),
      reader: channel.client(LedgerReaderService),
      operator: channel.client(LedgerOperatorService),
    };
  }

  runs(aggregator: Service) {
    return this.#channel(aggregator).client(RunsService);
  }

  /** `flwr run`. */
  async startRun(fab: Buffer): Promise<bigint> {
    const blank = StartRunRequest.decode(new Uint8Array());
    const body = StartRunRequest.encode({ ...blank, fab: { hashStr: '', content: fab, verifications: {} } }).finish();
    const headers = { 'content-type': 'application/protobuf', 'flwr-package-version': '1.41.0' };
    const answer = await rawHttp(this.target(), undefined, { path: '/v1/control/start-run', body, headers });
    return StartRunResponse.decode(answer).runId ?? 0n;
  }

  /** From whichever aggregator answers. */
  async run(runId: bigint): Promise<RunSummary> {
    const query = { runId, limit: 0, skip: 0 };
    const asked = this.aggregators.map((one) => this.runs(one).listRuns(query, { timeoutMs: 2_000 }));
    const { runs } = await Promise.any(asked);
    if (runs[0] === undefined) throw new Error(`there is no run ${runId}`);
    return runs[0];
  }

  async finished(runId: bigint, withinMs = 60_000): Promise<RunSummary> {
    return (await eventually(async () => {
      const run = await this.run(runId);
      return run.run?.status?.status === 'finished' ? run : false;
    }, withinMs).catch((error) => {
      throw new Error(`${error}\n${this.logs()}`);
    })) as RunSummary;
  }

  async logOf(runId: bigint): Promise<string> {
    const [aggregator] = this.aggregators;
    const lines: string[] = [];
    if (aggregator === undefined) return '';
    for await (const { text } of this.runs(aggregator).watchLog({ runId, after: 0, follow: false })) lines.push(text);
    return lines.join('\n');
  }

  services(): Service[] {
    const others = [this.accountant, this.secagg].filter((one) => one !== undefined);
    return [...others, ...this.aggregators, ...this.gateways];
  }

  logs(): string {
    return this.services()
      .map((service) => service.log().slice(-4_000))
      .join('\n---\n');
  }

  async close(): Promise<void> {
    await Promise.all([...this.#channels.values()].map((channel) => channel.close()));
    await Promise.all([...this.gateways, ...this.aggregators].map((service) => service.kill()));
    await this.accountant?.kill();
    await this.secagg?.kill();
    await this.nats.stop();
    await this.#folder.remove();
  }

  #channel(aggregator: Service): ServiceChannel {
    const channel =
      this.#channels.get(aggregator) ?? grpcChannel({ address: `127.0.0.1:${aggregator.port}`, insecure: true });
    this.#channels.set(aggregator, channel);
    return channel;
  }
}
