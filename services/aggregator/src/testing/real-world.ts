// The aggregator as it is deployed: real NATS, sealed files, the native core. Nodes are simulated through the Intake service.
import type { Bus } from '@aegis/bus';
import { RunsService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { NodeKind, Task, TaskKind } from '@aegis/contracts/aegis/events/v1/task';
import {
  inProcessChannel,
  type Logger,
  noTelemetry,
  type ServiceChannel,
  silentLogger,
  type Telemetry,
} from '@aegis/service-kit';
import type { TestNats } from '@aegis/testkit';
import { type Aggregator, startAggregator } from '../index.ts';
import { type Arrays, answer, type Reply, readModelArrays } from './simulated-node.ts';

export type TaskReply = (
  task: Task,
  model: Arrays,
  kind: 'train' | 'evaluate' | 'initial-model',
) => Reply | null | Promise<Reply | null>;

export interface RealWorldOptions {
  readonly telemetry?: Telemetry;
  readonly log?: Logger;
}

/** As a gateway with the unit key `test` tells it. */
export const unitOf = (nodeId: bigint): string => `test-${String(nodeId).padStart(20, '0')}`;

export class RealWorld {
  readonly stateDir: string;
  readonly bus: Bus;
  readonly aggregator: Aggregator;
  readonly channel: ServiceChannel;
  /** Of everything that nodes did in this process; rejections of single nodes included. */
  readonly outcomes: Promise<unknown>[] = [];
  private readonly nats: TestNats;
  private readonly options: RealWorldOptions;
  private readonly ending = new AbortController();

  private constructor(nats: TestNats, bus: Bus, stateDir: string, aggregator: Aggregator, options: RealWorldOptions) {
    this.nats = nats;
    this.bus = bus;
    this.stateDir = stateDir;
    this.aggregator = aggregator;
    this.options = options;
    this.channel = inProcessChannel(aggregator.services, {
      log: options.log ?? silentLogger,
      telemetry: options.telemetry ?? noTelemetry,
    });
  }

  static async start(nats: TestNats, stateDir: string, options: RealWorldOptions = {}): Promise<RealWorld> {
    const { telemetry = noTelemetry, log = silentLogger } = options;
    const bus = await nats.connect();
    const config = { 'state-dir': stateDir, 'lease-seconds': 15, 'initial-model-bytes': 2 ** 30, 'parallel-tasks': 64 };
    return new RealWorld(nats, bus, stateDir, await startAggregator(config, { bus, telemetry, log }), options);
  }

  get runs() {
    return this.channel.client(RunsService);
  }

  /** Nodes that are online until the world ends, and answer every task once by `reply`; null: never. */
  async nodes(ids: readonly bigint[], reply: TaskReply): Promise<void> {
    const { signal } = this.ending;
    const snapshot = () =>
      this.bus.publish('presence', {
        gatewayId: 'gateway',
        snapshot: true,
        nodes: ids.map((nodeId) => ({
          nodeId,
          online: true,
          kind: NodeKind.UNSPECIFIED,
          unit: unitOf(nodeId),
          user: '',
          canMask: false,
          left: false,
        })),
      });
    const asked = await this.bus.subscribe('presence-ask', signal);
    const bucket = await this.bus.bucket('tasks');
    snapshot();
    void (async () => {
      for await (const _ of asked) snapshot();
    })().catch(() => {});
    const seen = new Set<string>();
    void (async () => {
      for await (const item of bucket.watch(undefined, signal)) {
        if (item.type !== 'entry' || item.value === null || seen.has(item.key)) continue;
        seen.add(item.key);
        const task = Task.decode(item.value);
        if (ids.includes(task.nodeId)) this.outcomes.push(this.act(task, reply));
      }
    })().catch(() => {});
  }

  presence(nodeId: bigint, online: boolean): void {
    this.bus.publish('presence', {
      gatewayId: 'gateway',
      snapshot: false,
      nodes: [
        { nodeId, online, kind: NodeKind.UNSPECIFIED, unit: unitOf(nodeId), user: '', canMask: false, left: false },
      ],
    });
  }

  async finished(runId: bigint) {
    for await (const event of this.runs.watchRun({ runId })) {
      if (event.run?.run?.status?.status === 'finished') return event.run;
    }
    throw new Error('the run did not finish');
  }

  async logOf(runId: bigint): Promise<string[]> {
    const lines: string[] = [];
    for await (const { text } of this.runs.watchLog({ runId, after: 0, follow: false })) lines.push(text);
    return lines;
  }

  async stop(): Promise<void> {
    this.ending.abort();
    await Promise.allSettled(this.outcomes);
    await this.aggregator.close();
    await this.bus.close();
  }

  async restart(): Promise<RealWorld> {
    await this.stop();
    return RealWorld.start(this.nats, this.stateDir, this.options);
  }

  private async act(task: Task, reply: TaskReply): Promise<unknown> {
    const kind =
      task.kind === TaskKind.TRAIN ? 'train' : task.kind === TaskKind.EVALUATE ? 'evaluate' : 'initial-model';
    const model = task.modelId === '' ? {} : await readModelArrays(this.channel, task.modelId);
    const given = await reply(task, model, kind);
    return given === null ? null : await answer(this.channel, task, given).catch((error: unknown) => error);
  }
}
