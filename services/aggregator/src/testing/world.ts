// An aggregator in memory, with nodes that answer by themselves: for tests. Stores and peers outlive the aggregator, as NATS and the disk do.

import { RunsService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import {
  type Clock,
  inProcessChannel,
  type Logger,
  noTelemetry,
  type Random,
  type ServiceChannel,
  silentLogger,
  systemClock,
  type Telemetry,
} from '@aegis/service-kit';
import { seededRandom } from '@aegis/testkit';
import { intakeService } from '../api/intake.ts';
import { runsService } from '../api/runs.ts';
import { writeEntries } from '../api/scalars.ts';
import type { ConfigEntry } from '../domain/scalar.ts';
import type { Ground } from '../flows/ground.ts';
import { createMeasures } from '../flows/measures.ts';
import { ModelUse } from '../flows/model-use.ts';
import { RunOwner } from '../flows/own-runs.ts';
import type { Task } from '../peers/contract.ts';
import { MemoryPeers } from '../peers/memory/index.ts';
import type { Stores } from '../store/contract.ts';
import { memoryStores } from '../store/memory/index.ts';
import { type Arrays, answer, type Reply, readModelArrays } from './simulated-node.ts';

export interface WorldOptions {
  readonly stores?: Stores;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly telemetry?: Telemetry;
  readonly log?: Logger;
  readonly owner?: string;
  readonly volume?: string;
  readonly abandonVolumeAfterMs?: number;
}

export class World {
  readonly peers: MemoryPeers;
  readonly stores: Stores;
  readonly ground: Ground;
  owner: RunOwner;
  channel: ServiceChannel;
  private readonly options: WorldOptions;

  constructor(options: WorldOptions = {}, peers = new MemoryPeers()) {
    const {
      stores = memoryStores(),
      clock = systemClock,
      random = seededRandom(1),
      telemetry = noTelemetry,
      log = silentLogger,
    } = options;
    this.options = options;
    this.peers = peers;
    this.stores = stores;
    const limits = { initialModelBytes: 2 ** 20 };
    const watched = { telemetry, measures: createMeasures(telemetry), log };
    const memory = { modelUse: new ModelUse(), diskFullTold: new Map<bigint, number>() };
    this.ground = { stores, peers, clock, random, limits, ...memory, ...watched };
    this.owner = new RunOwner(this.ground, {
      owner: options.owner ?? 'one',
      volume: options.volume ?? 'disk',
      address: '',
      leaseMs: 15_000,
      abandonVolumeAfterMs: options.abandonVolumeAfterMs,
    });
    this.channel = inProcessChannel([intakeService(this.ground, this.owner), runsService(this.ground, this.owner)], {
      log,
      telemetry,
    });
  }

  get runs() {
    return this.channel.client(RunsService);
  }

  start(fab: Buffer, overrides: readonly ConfigEntry[] = []) {
    return this.runs.startRun({ overrides: writeEntries(overrides), federation: '', owner: undefined, fab });
  }

  /** The aggregator ends and another begins on the same state. */
  async restart(): Promise<World> {
    await this.owner.drain();
    const next = new World({ ...this.options, stores: this.stores }, this.peers);
    await next.owner.start();
    return next;
  }

  /** Every task is answered at once by `reply`; null: never. */
  answerWith(reply: (task: Task, model: Arrays) => Reply | null): void {
    this.peers.onTask = (task) => void this.answerTask(task, reply).catch(() => {});
  }

  async answerTask(task: Task, reply: (task: Task, model: Arrays) => Reply | null) {
    const model = task.modelId === null ? {} : await readModelArrays(this.channel, task.modelId);
    const given = reply(task, model);
    return given === null ? null : answer(this.channel, { ...task, modelId: task.modelId ?? '' }, given);
  }

  async finished(runId: bigint) {
    for await (const event of this.runs.watchRun({ runId })) {
      if (event.run?.run?.status?.status === 'finished') return event.run;
    }
    throw new Error('the run did not finish');
  }
}
