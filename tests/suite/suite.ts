// Gateway and aggregator as `aegis up` or a cluster runs them: real NATS, real ports, sealed files, the native core.
import { join } from 'node:path';
import { type RunSummary, RunsService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { StartRunRequest, StartRunResponse } from '@aegis/contracts/flwr/proto/control';
import {
  grpcChannel,
  inProcessChannel,
  type Logger,
  noTelemetry,
  readTls,
  type ServiceChannel,
  serveGrpc,
  silentLogger,
  type Telemetry,
} from '@aegis/service-kit';
import {
  startTestNats,
  type TemporaryFolder,
  type TestNats,
  type TestPki,
  temporaryFolder,
  testPki,
} from '@aegis/testkit';
import { aggregatorConfig, startAggregator } from '../../services/aggregator/src/index.ts';
import { gatewayConfig, startGateway } from '../../services/gateway/src/index.ts';
import { rawHttp, type Target } from '../../services/gateway/src/testing/wire-client.ts';
import { secaggConfig, startSecagg } from '../../services/secagg/src/index.ts';
import { readNpz } from './npz.ts';

export type Transport = 'in-process' | 'grpc';

export interface SuiteOptions {
  transport?: Transport;
  telemetry?: Telemetry;
  log?: Logger;
  /** Files of a federation: nodes may show its certificates, and masked rounds are served. */
  federation?: { root: string; crl: string };
}

type Options = Required<Omit<SuiteOptions, 'federation'>> & Pick<SuiteOptions, 'federation'>;

export class Suite {
  readonly nats: TestNats;
  readonly #folder: TemporaryFolder;
  readonly #pki: TestPki;
  readonly #options: Options;
  #running: Running | undefined;

  private constructor(nats: TestNats, folder: TemporaryFolder, pki: TestPki, options: Options) {
    this.nats = nats;
    this.#folder = folder;
    this.#pki = pki;
    this.#options = options;
  }

  /** On a bus of its own: nodes of another suite would be expected back. */
  static async start(options: SuiteOptions = {}): Promise<Suite> {
    const { transport = 'in-process', telemetry = noTelemetry, log = silentLogger } = options;
    const suite = new Suite(await startTestNats(), await temporaryFolder('suite'), await testPki(), {
      ...options,
      ...{ transport, telemetry, log },
    });
    await suite.up();
    return suite;
  }

  get target(): Target {
    return this.#up.target;
  }

  get runs() {
    return this.#up.channel.client(RunsService);
  }

  get #up(): Running {
    if (!this.#running) throw new Error('the suite is down');
    return this.#running;
  }

  /** Everything again on the same state and port, as after a crash of the process. */
  async restart(): Promise<void> {
    const { port } = this.target;
    await this.down();
    await this.up(port);
  }

  async up(port = 0): Promise<void> {
    const { telemetry, log, transport, federation } = this.#options;
    const bus = await this.nats.connect({ telemetry, log });
    const deps = { bus, telemetry, log };
    const secagg = federation && (await startSecagg(secaggConfig.parse({ 'federation-root': federation.root }), deps));
    const masks = secagg && inProcessChannel(secagg.services, { log, telemetry });
    const state = join(this.#folder.path, 'aggregator');
    const aggregator = await startAggregator(aggregatorConfig.parse({ 'state-dir': state }), {
      ...deps,
      secagg: masks,
    });
    const server = transport === 'grpc' ? await this.#serve(aggregator.services) : undefined;
    const channel = server ? server.channel : inProcessChannel(aggregator.services, { log, telemetry });
    const { ca, cert, key } = await this.#pki.issue({ name: 'gateway', hosts: ['localhost', '127.0.0.1'] });
    const clients = federation && { 'client-ca': federation.root, 'client-crl': federation.crl };
    const config = gatewayConfig.parse({
      ...{ listen: `127.0.0.1:${port}`, tls: { cert, key, ...clients }, enrolment: 'open' },
      ...(federation && { 'client-certificates': 'accept' }),
    });
    const gateway = await startGateway(config, { ...deps, aggregator: channel, secagg: masks });
    this.#running = {
      target: { host: '127.0.0.1', port: gateway.address.port, ca: readTls({ ca, cert, key }).ca },
      channel,
      close: async () => {
        await gateway.close();
        await channel.close();
        await server?.close();
        await aggregator.close();
        await masks?.close();
        await secagg?.drain();
        await bus.close();
      },
    };
  }

  async down(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.close();
  }

  async close(): Promise<void> {
    await this.down();
    await this.nats.stop();
    await this.#pki.remove();
    await this.#folder.remove();
  }

  /** `flwr run`, over HTTP. */
  async startRun(fab: Buffer): Promise<bigint> {
    const blank = StartRunRequest.decode(new Uint8Array());
    const body = StartRunRequest.encode({ ...blank, fab: { hashStr: '', content: fab, verifications: {} } }).finish();
    const headers = { 'content-type': 'application/protobuf', 'flwr-package-version': '1.41.0' };
    const answer = await rawHttp(this.target, undefined, { path: '/v1/control/start-run', body, headers });
    return StartRunResponse.decode(answer).runId ?? 0n;
  }

  /** The values of a model, by tensor. */
  async modelOf(modelId: string): Promise<Record<string, number[]>> {
    const pieces: Buffer[] = [];
    for await (const { content } of this.runs.exportModel({ modelId, runId: 0n, round: 0, format: 'npz' }))
      pieces.push(content);
    return readNpz(Buffer.concat(pieces));
  }

  async finished(runId: bigint): Promise<RunSummary> {
    for await (const { run } of this.runs.watchRun({ runId })) {
      if (run?.run?.status?.status === 'finished') return run;
    }
    throw new Error('the run did not finish');
  }

  async #serve(services: Awaited<ReturnType<typeof startAggregator>>['services']) {
    const { telemetry, log } = this.#options;
    const callers = Object.fromEntries(services.map(({ name }) => [name, ['gateway']]));
    const tls = await this.#pki.material('aggregator');
    const server = await serveGrpc({ address: '127.0.0.1:0', tls, callers, services, log, telemetry });
    const channel = grpcChannel({
      address: `127.0.0.1:${server.port}`,
      serverName: 'aggregator',
      tls: await this.#pki.material('gateway'),
      telemetry,
    });
    return { channel, close: () => server.close() };
  }
}

interface Running {
  readonly target: Target;
  readonly channel: ServiceChannel;
  close(): Promise<void>;
}
