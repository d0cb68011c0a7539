import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bus } from '@aegis/bus';
import { Task, TaskKind } from '@aegis/contracts/aegis/events/v1/task';
import {
  inProcessChannel,
  type LocalService,
  type Logger,
  noTelemetry,
  silentLogger,
  systemRandom,
  type Telemetry,
} from '@aegis/service-kit';
import { type TemporaryFolder, type TestNats, type TestPki, temporaryFolder, testPki } from '@aegis/testkit';
import type { Pressure } from '../domain/admission.ts';
import { gatewayConfig, type RunningGateway, startGateway } from '../index.ts';
import type { NodeKey } from './node-key.ts';
import { modelOf, type ScriptedAggregator, type ScriptedModel } from './scripted-aggregator.ts';
import { type FlowerDialect, SimulatedNode } from './simulated-node.ts';
import type { Target } from './wire-client.ts';

export const TOKEN = 'operator-token-of-the-test';

export interface GatewayOptions {
  config?: Record<string, unknown>;
  telemetry?: Telemetry;
  log?: Logger;
  /** Serves the Relay. Absent: the gateway knows no secagg service. */
  secagg?: LocalService;
  /** Serves the Issuer. Absent: certificates are made by hand. */
  issuer?: LocalService;
  /** How it fares, whatever the machine does; default: calm. */
  pressure?: () => Pressure;
  /** Further keys of `tls`. */
  tls?: Record<string, string>;
}

/** Real gateways on a real port over a real bus, in front of a scripted aggregator. */
export class GatewayFixture {
  readonly aggregator: ScriptedAggregator;
  readonly #nats: TestNats;
  readonly #folder: TemporaryFolder;
  readonly #pki: TestPki | undefined;
  readonly #opened: { close(): unknown }[] = [];
  #bus: Bus | undefined;
  #lastNode = 0;

  private constructor(nats: TestNats, aggregator: ScriptedAggregator, folder: TemporaryFolder, pki?: TestPki) {
    this.#nats = nats;
    this.aggregator = aggregator;
    this.#folder = folder;
    this.#pki = pki;
  }

  static async open(nats: TestNats, aggregator: ScriptedAggregator, { tls = false } = {}): Promise<GatewayFixture> {
    const folder = await temporaryFolder('gateway');
    await writeFile(join(folder.path, 'token'), `${TOKEN}\n`, { mode: 0o600 });
    await writeFile(join(folder.path, 'rest.key'), `${'7e'.repeat(32)}\n`, { mode: 0o600 });
    return new GatewayFixture(nats, aggregator, folder, tls ? await testPki() : undefined);
  }

  async gateway(options: GatewayOptions = {}): Promise<RunningGateway & { target: Target; bus: Bus }> {
    const bus = await this.#nats.connect({ outageWaitMs: 1_000 });
    const files = await this.#pki?.issue({ name: 'gateway', hosts: ['localhost', '127.0.0.1'] });
    const config = gatewayConfig.parse({
      listen: '127.0.0.1:0',
      ...(files ? { tls: { cert: files.cert, key: files.key, ...options.tls } } : { insecure: true }),
      enrolment: 'open',
      'operator-token-file': join(this.#folder.path, 'token'),
      'rest-key-file': join(this.#folder.path, 'rest.key'),
      'hold-seconds': 5,
      ...options.config,
    });
    const gateway = await startGateway(config, {
      bus,
      telemetry: options.telemetry ?? noTelemetry,
      log: options.log ?? silentLogger,
      pressure: options.pressure ?? (() => 'calm'),
      aggregator: inProcessChannel(this.aggregator.services(), {
        log: silentLogger,
        telemetry: options.telemetry ?? noTelemetry,
      }),
      issuer: options.issuer && inProcessChannel([options.issuer], { log: silentLogger, telemetry: noTelemetry }),
      secagg: options.secagg && inProcessChannel([options.secagg], { log: silentLogger, telemetry: noTelemetry }),
    });
    this.#opened.push(gateway);
    const ca = this.#pki ? { ca: await caOf(this.#pki) } : {};
    return { ...gateway, bus, target: { host: '127.0.0.1', port: gateway.address.port, ...ca } };
  }

  node(target: Target, dialect: FlowerDialect = 'A', key?: NodeKey): SimulatedNode {
    const node = new SimulatedNode(target, dialect, key);
    this.#opened.push(node);
    return node;
  }

  /** A task in the node's mailbox, open at the aggregator. */
  async task(
    nodeId: bigint,
    changes: Partial<Task> = {},
    model: ScriptedModel = modelOf({ w: [1, 2, 3], b: [0.5] }),
  ): Promise<Task> {
    this.aggregator.models.set(model.modelId, model);
    const task: Task = {
      taskId: systemRandom.ulid(Date.now()),
      runId: 77n,
      round: 1,
      kind: TaskKind.TRAIN,
      nodeId,
      modelId: model.modelId,
      config: [{ key: 'server-round', value: { value: { $case: 'integer', value: 1n } } }],
      layout: { dialect: 1, arrayRecordKey: 'arrays', configRecordKey: 'config', weightedByKey: 'num-examples' },
      createdAt: Date.now() / 1000,
      ttl: 43_200,
      groupId: '',
      traceparent: '',
      deadline: 0,
      join: false,
      masking: undefined,
      flower: undefined,
      ...changes,
    };
    if (!this.aggregator.runs.has(task.runId)) this.aggregator.addRun(task.runId);
    this.aggregator.tasks.set(task.taskId, 'open');
    await (await this.#tasks()).put(`${nodeId}.${task.taskId}`, Buffer.from(Task.encode(task).finish()));
    return task;
  }

  async withdraw({ nodeId, taskId }: Pick<Task, 'nodeId' | 'taskId'>): Promise<void> {
    await (await this.#tasks()).delete(`${nodeId}.${taskId}`);
  }

  /** A different number each time. */
  next(): number {
    this.#lastNode += 1;
    return this.#lastNode;
  }

  async close(): Promise<void> {
    for (const opened of this.#opened.reverse()) await opened.close();
    await this.#pki?.remove();
    await this.#folder.remove();
  }

  async #tasks() {
    this.#bus ??= await this.#nats.connect();
    return this.#bus.bucket('tasks');
  }
}

const caOf = async (pki: TestPki): Promise<Buffer> => (await pki.material('client')).ca;
