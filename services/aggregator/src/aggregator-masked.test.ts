// Masked runs on real NATS, sealed files and the native core: what is kept of an attempt is kept through restarts, at any stage of it.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bus } from '@aegis/bus';
import { RunsService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { NodeKind, TaskKind, Task as WireTask } from '@aegis/contracts/aegis/events/v1/task';
import { AegisError } from '@aegis/errors';
import { inProcessChannel, type ServiceChannel, silentLogger } from '@aegis/service-kit';
import {
  eventually,
  recordingTelemetry,
  type SpanTree,
  type TemporaryFolder,
  temporaryFolder,
  withNats,
} from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Aggregator, startAggregator } from './index.ts';
import { writeNpy, writeNpz } from './store/memory/npy.ts';
import { fab } from './testing/bundles.ts';
import { scriptedRounds, toTask } from './testing/scripted-rounds.ts';
import { ScriptedSecagg } from './testing/scripted-secagg.ts';
import { SimulatedGuard } from './testing/simulated-guard.ts';
import { type Arrays, b1, f4, i8, readModelArrays } from './testing/simulated-node.ts';

const nats = withNats();
const nodes = [1n, 2n, 3n, 4n, 5n];
const initial = writeNpz([
  { name: 'w', npy: writeNpy(f4([3], [100, 0, -100])) },
  { name: 'count', npy: writeNpy(i8([], [7])) },
  { name: 'flag', npy: writeNpy(b1([2], [0, 1])) },
]);
const bundle = (lines = '') =>
  fab({
    config: `num-server-rounds = 2
min-available-nodes = 5
min-evaluate-nodes = 5
aegis.initial-model = "file:init.npz"
aegis.secagg.mode = "aegis"
aegis.secagg.value-bits = 24
aegis.secagg.own-clips = "count:64"
aegis.secagg.metrics = "loss:0:10"
${lines}`,
    extra: [{ name: 'init.npz', content: initial }],
  });

/** Node n moves w by n, counts n batches, and says true where it is one of three. */
const learn = ({ nodeId }: { nodeId: bigint }, model: Arrays) => {
  const node = Number(nodeId);
  return {
    arrays: {
      w: f4(
        [3],
        (model.w?.values ?? []).map((value) => value + node),
      ),
      count: i8([], [(model.count?.values[0] ?? 0) + 2 * node]),
      flag: b1([2], [node <= 3 ? 1 : 0, 0]),
    },
    metrics: [node],
  };
};

/** An aggregator that can be started again under the feet of guards that go on. */
class Stand {
  readonly secagg = new ScriptedSecagg();
  readonly telemetry = recordingTelemetry();
  private readonly folder: string;
  private readonly ending = new AbortController();
  private world: { aggregator: Aggregator; bus: Bus; channel: ServiceChannel } | null = null;
  private died = Promise.withResolvers<never>();

  constructor(folder: string) {
    this.folder = folder;
    this.died.promise.catch(() => {});
  }

  get channel(): ServiceChannel {
    if (this.world === null) throw new AegisError('UNAVAILABLE', 'No aggregator is up.');
    return this.world.channel;
  }

  get runs() {
    return this.channel.client(RunsService);
  }

  async up(): Promise<void> {
    const bus = await nats().connect();
    const config = {
      'state-dir': this.folder,
      'lease-seconds': 15,
      'initial-model-bytes': 2 ** 30,
      'parallel-tasks': 64,
    };
    const { telemetry } = this.telemetry;
    const deps = { bus, telemetry, log: silentLogger, secagg: scriptedRounds(this.secagg) };
    const aggregator = await startAggregator(config, deps);
    const channel = inProcessChannel(aggregator.services, { log: silentLogger, telemetry });
    this.world = { aggregator, bus, channel };
  }

  async down(): Promise<void> {
    const { world } = this;
    this.world = null;
    await world?.aggregator.close();
    await world?.bus.close();
  }

  async restart(): Promise<void> {
    await this.down();
    await this.up();
    const before = this.died;
    this.died = Promise.withResolvers<never>();
    this.died.promise.catch(() => {});
    before.reject(new AegisError('UNAVAILABLE', 'It was started again.'));
  }

  /** Guards with a gateway of their own. */
  async guards(): Promise<void> {
    const { signal } = this.ending;
    const bus = await nats().connect();
    signal.addEventListener('abort', () => void bus.close(), { once: true });
    const tell = () =>
      bus.publish('presence', {
        gatewayId: 'gateway',
        snapshot: true,
        nodes: nodes.map((nodeId) => ({
          nodeId,
          online: true,
          kind: NodeKind.UNSPECIFIED,
          unit: '',
          user: '',
          canMask: true,
          left: false,
        })),
      });
    const asked = await bus.subscribe('presence-ask', signal);
    tell();
    void (async () => {
      for await (const _ of asked) tell();
    })().catch(() => {});
    const seen = new Set<string>();
    const tasks = await bus.bucket('tasks');
    void (async () => {
      for await (const item of tasks.watch(undefined, signal)) {
        if (item.type !== 'entry' || item.value === null || seen.has(item.key)) continue;
        seen.add(item.key);
        const task = WireTask.decode(item.value);
        const guard = new SimulatedGuard(
          toTask(task, task.kind === TaskKind.EVALUATE ? 'evaluate' : 'train'),
          this.secagg,
          () => this.channel,
          () => this.died.promise,
        );
        guard.play(learn, 'honest').catch(() => {});
      }
    })().catch(() => {});
  }

  async finished(runId: bigint) {
    for (;;) {
      const { runs } = await this.runs.listRuns({ runId, limit: 1, skip: 0 }).catch(() => ({ runs: [] }));
      const [run] = runs;
      if (run?.run?.status?.status === 'finished') return run;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop(): Promise<void> {
    this.ending.abort();
    await this.down();
  }
}

let folder: TemporaryFolder;
let stand: Stand;
beforeEach(async () => {
  folder = await temporaryFolder('aggregator-masked');
  stand = new Stand(folder.path);
  await stand.up();
  await stand.guards();
});
afterEach(async () => {
  await stand.stop();
  await folder.remove();
});

const expected = async (runId: bigint): Promise<void> => {
  const run = await stand.finished(runId);
  expect(run.run?.status).toMatchObject({ subStatus: 'completed' });
  const arrays = await readModelArrays(stand.channel, run.modelId);
  // twice the mean of 1 … 5, twice the mean count of 6; three of five say true
  expect([...(arrays.w?.values ?? [])]).toEqual([106, 6, -94].map((value) => expect.closeTo(value, 4)));
  expect([...(arrays.count?.values ?? [])]).toEqual([19]);
  expect([...(arrays.flag?.values ?? [])]).toEqual([1, 0]);
  expect(run.history.map(({ masking }) => masking)).toEqual([1, 2].map(() => ({ shared: 5, delivered: 5, opened: 5 })));
  expect(run.history.map(({ evaluated }) => evaluated)).toEqual([5, 5]);
};

describe('a masked run on NATS and sealed files', () => {
  it('trains and evaluates, leaves nothing but models, and every stage is a span of its round', async () => {
    const { runId } = await stand.runs.startRun({ overrides: [], federation: '', owner: undefined, fab: bundle() });
    await expected(runId);
    await eventually(async () => expect(await readdir(join(folder.path, 'intake'))).toEqual([]));
    await stand.down();
    const names = new Set<string>();
    const walk = (tree: SpanTree): void => {
      names.add(tree.name);
      tree.children.forEach(walk);
    };
    for (const tree of stand.telemetry.trees()) if (tree.name === 'round') walk(tree);
    for (const name of ['secagg.open', 'secagg.sharing', 'fold', 'secagg.unmask', 'secagg.sum', 'checkpoint'])
      expect([...names]).toContain(name);
  });

  it.each(['open', 'awaitSharing', 'unmask', 'end'] as const)(
    'goes on after a restart while the service is asked to %s',
    async (what) => {
      const { secagg } = stand;
      const real = secagg[what].bind(secagg) as (...args: unknown[]) => Promise<never>;
      const asked = Promise.withResolvers<void>();
      let first = true;
      Object.assign(secagg, {
        [what]: async (...args: unknown[]) => {
          if (!first) return real(...args);
          first = false;
          asked.resolve();
          // it is heard, and its answer never comes
          await real(...args);
          return new Promise<never>((_, reject) =>
            (args.find((arg) => arg instanceof AbortSignal) as AbortSignal | undefined)?.addEventListener('abort', () =>
              reject(new Error('nobody waits')),
            ),
          );
        },
      });
      const { runId } = await stand.runs.startRun({ overrides: [], federation: '', owner: undefined, fab: bundle() });
      await asked.promise;
      await stand.restart();
      await expected(runId);
      // told behind the run
      await eventually(async () => expect([...secagg.rounds.values()].map(({ ended }) => ended)).not.toContain(null));
    },
  );
});
