import { RunsService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import type { CallOptions, ServiceClient } from '@aegis/service-kit';
import { FakeClock } from '@aegis/testkit';
import type { ModelInfo } from '../../services/aggregator/src/domain/model.ts';
import { MemoryLedger } from '../../services/aggregator/src/peers/memory/ledger.ts';
import { encodeDocument } from '../../services/aggregator/src/store/document-text.ts';
import { writeNpy } from '../../services/aggregator/src/store/memory/npy.ts';
import { fab, legacyApp, messageApp } from '../../services/aggregator/src/testing/bundles.ts';
import { AggregatorProcess, type Site } from './aggregator.ts';
import { SimulatedNats } from './bus.ts';
import { Chance } from './chance.ts';
import { SimulatedDisk } from './disk.ts';
import { type Cluster, GatewayProcess } from './gateway.ts';
import { Life } from './life.ts';
import { SimulatedNode } from './node.ts';
import type { ProcessName, Shape } from './operations.ts';
import { checkAsked } from './privacy-checks.ts';
import { Witness } from './witness.ts';

const FIRST_MODEL = 'first';
const START_MS = Date.UTC(2026, 0, 1);

/** Everything in one process, on one clock that moves only when told to. */
export class World {
  readonly clock = new FakeClock(START_MS);
  readonly witness = new Witness();
  readonly nats: SimulatedNats;
  readonly disk: SimulatedDisk;
  readonly ledger = new MemoryLedger();
  readonly aggregators: AggregatorProcess[] = [];
  readonly gateways: GatewayProcess[] = [];
  readonly nodes: SimulatedNode[];
  readonly shape: Shape;
  firstModel: ModelInfo;
  /** Set once people were told that a run was taken. */
  runId: bigint | null = null;
  /** Tests that break the suite on purpose set it. */
  gatewaysForget = false;
  readonly site: Site;
  private readonly cluster: Cluster;
  private lives = 0;

  constructor(shape: Shape, seed: number) {
    this.shape = shape;
    this.nats = new SimulatedNats(this.clock, new Chance(seed + 1));
    this.disk = new SimulatedDisk(this.clock, new Chance(seed + 2));
    const onBusyLoop = (life: Life): void => this.witness.fail('no busy loops', `${life.name} does not stop`);
    this.site = { clock: this.clock, nats: this.nats, disk: this.disk, ledger: this.ledger, seed, onBusyLoop };
    const addresses = Array.from({ length: shape.aggregators }, (_, at) => `a${at}`) as [string, ...string[]];
    this.cluster = { addresses, at: (address) => this.aggregators[addresses.indexOf(address)] };
    this.nats.onWrite = (write) => {
      this.witness.wrote(write);
      checkAsked(this, write);
    };
    this.disk.watch = {
      onMean: (room, folded, modelId) => this.witness.mean(room, folded, modelId),
      onNoised: (room, folded, modelId) => this.witness.noised(room, folded, modelId),
    };
    this.firstModel = this.disk.models.keep([
      { name: 'w', npy: writeNpy({ descr: '<f4', shape: [3], values: [0, 0.5, -1] }) },
      { name: 'b', npy: writeNpy({ descr: '<f4', shape: [], values: [2] }) },
    ]);
    this.nodes = Array.from({ length: shape.nodes }, (_, index) => new SimulatedNode(this, index));
  }

  /** Bus and disk with one model on it, and all processes up. */
  async open(): Promise<void> {
    const { modelId, bytes } = this.firstModel;
    const version = {
      modelId,
      name: FIRST_MODEL,
      runId: 0n,
      round: 0,
      cohort: 0,
      createdAt: 0,
      bytes,
      parentId: '',
      metrics: [],
    };
    const key = `name.${Buffer.from(FIRST_MODEL).toString('base64url')}`;
    this.nats.write(new Life('nobody', this.clock, this.site.onBusyLoop), 'models', key, encodeDocument(version), null);
    for (let i = 0; i < this.shape.aggregators; i += 1) this.start(`aggregator ${i}`);
    for (let i = 0; i < this.shape.gateways; i += 1) this.start(`gateway ${i}`);
    await this.settle();
  }

  process(name: ProcessName): AggregatorProcess | GatewayProcess | undefined {
    const at = Number(name.split(' ')[1]);
    return name.startsWith('gateway') ? this.gateways[at] : this.aggregators[at];
  }

  /** Starts what is not there; a process that lives is left alone. */
  start(name: ProcessName): void {
    const living = this.process(name);
    if (living !== undefined && !living.life.isDead) return;
    const at = Number(name.split(' ')[1]);
    this.lives += 1;
    if (name.startsWith('gateway')) {
      if (at >= this.shape.gateways) return;
      const gateway = new GatewayProcess(this.site, `g${at}`, this.lives, this.cluster);
      gateway.mailbox.isForgetful = this.gatewaysForget;
      this.gateways[at] = gateway;
    } else {
      if (at >= this.shape.aggregators) return;
      // alone, as under `aegis up`, it has no address of its own
      const address = this.shape.aggregators > 1 ? `a${at}` : '';
      this.aggregators[at] = new AggregatorProcess(this.site, `a${at}`, address, this.lives);
    }
  }

  /** Somebody types `flwr run`; an answer that never comes is like a call that was cut off. */
  async startRun(): Promise<void> {
    if (this.runId !== null) return;
    const request = { overrides: [], federation: '', owner: undefined, fab: this.bundle() };
    const started = await this.asked((runs, options) => runs.startRun(request, options));
    this.runId ??= started?.runId ?? null;
  }

  async stopRun(): Promise<void> {
    const { runId } = this;
    if (runId !== null) await this.asked((runs, options) => runs.stopRun({ runId }, options));
  }

  /** Lets everything run that waits for nothing but its turn. */
  async settle(): Promise<void> {
    for (let before = -1; before !== this.activity(); ) {
      before = this.activity();
      await turn();
      await turn();
    }
  }

  async advance(ms: number): Promise<void> {
    await this.settle();
    await this.clock.advance(ms);
    await this.settle();
  }

  /** Everything ends, so that nothing of this world keeps it in memory. */
  async close(): Promise<void> {
    for (const node of this.nodes) node.retire();
    for (const { life } of [...this.aggregators, ...this.gateways]) life.kill();
    await this.settle();
  }

  private activity(): number {
    return this.nats.activity + this.disk.activity;
  }

  /** The answer of the first aggregator that gives one; null when none does. */
  private async asked<T>(
    question: (runs: ServiceClient<typeof RunsService>, options: CallOptions) => Promise<T>,
  ): Promise<T | null> {
    for (const { channel, life } of [...this.aggregators]) {
      if (channel === null || life.isDead) continue;
      const options = { timeoutMs: Infinity, signal: life.died };
      const answer = await life.serve(() => question(channel.client(RunsService), options)).catch(() => null);
      if (answer !== null) return answer;
    }
    return null;
  }

  private bundle(): Buffer {
    const { rounds, firstModel, evaluate, minReport, minNodes, overSelect, deadlineSeconds, privacy } = this.shape;
    const config = [
      `num-server-rounds = ${rounds}`,
      `min-available-nodes = ${minNodes}`,
      `min-train-nodes = ${minNodes}`,
      `min-evaluate-nodes = ${evaluate ? minNodes : 0}`,
      `fraction-evaluate = ${evaluate ? '1.0' : '0.0'}`,
      `aegis.initial-model = "${firstModel === 'node' ? 'node' : `model:${FIRST_MODEL}`}"`,
      `aegis.selection.deadline = ${deadlineSeconds}.0`,
      ...(minReport === null ? [] : [`aegis.selection.min-report = ${minReport}`]),
      ...(privacy === undefined ? [] : privateLines(privacy)),
      ...(overSelect === 1 ? [] : [`aegis.selection.over-select = ${overSelect}`]),
    ].join('\n');
    const known = bundles.get(config);
    if (known !== undefined) return known;
    // a copy of its own: a view would keep a whole slab of memory alive
    const made = Buffer.from(
      new Uint8Array(fab({ config, source: firstModel === 'node' ? legacyApp : messageApp })).buffer,
    );
    bundles.set(config, made);
    return made;
  }
}

/** As much noise as lets all rounds fit, and not one more. */
const privateLines = (kind: NonNullable<Shape['privacy']>): string[] => [
  'aegis.privacy.unit = "node"',
  'aegis.privacy.clip = 1.0',
  'aegis.privacy.epsilon = 5.0',
  'aegis.privacy.denominator = 2.0',
  kind === 'tree' ? 'aegis.privacy.mechanism = "tree"' : `aegis.selection.sampling = "${kind}"`,
  ...(kind === 'poisson' || kind === 'fixed' ? ['fraction-train = 0.6'] : []),
];

const bundles = new Map<string, Buffer>();
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
