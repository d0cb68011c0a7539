import { inProcessChannel, noTelemetry, type ServiceChannel, silentLogger } from '@aegis/service-kit';
import { type FakeClock, seededRandom } from '@aegis/testkit';
import { intakeService } from '../../services/aggregator/src/api/intake.ts';
import { runsService } from '../../services/aggregator/src/api/runs.ts';
import type { Ground } from '../../services/aggregator/src/flows/ground.ts';
import { createMeasures } from '../../services/aggregator/src/flows/measures.ts';
import { ModelUse } from '../../services/aggregator/src/flows/model-use.ts';
import { RunOwner } from '../../services/aggregator/src/flows/own-runs.ts';
import type { MemoryLedger } from '../../services/aggregator/src/peers/memory/ledger.ts';
import { natsPeers } from '../../services/aggregator/src/peers/nats/index.ts';
import type { Stores } from '../../services/aggregator/src/store/contract.ts';
import {
  busImports,
  busLeases,
  busPlans,
  busRounds,
  busRuns,
} from '../../services/aggregator/src/store/durable/documents.ts';
import type { SimulatedNats } from './bus.ts';
import type { SimulatedDisk } from './disk.ts';
import { ledgerFor } from './ledger.ts';
import { Life } from './life.ts';

const LEASE_MS = 15_000;
const PARALLEL_TASKS = 64;
const measures = createMeasures(noTelemetry);

/** Where its processes run: what outlives them, and the seed of their randomness. */
export interface Site {
  readonly clock: FakeClock;
  readonly nats: SimulatedNats;
  readonly disk: SimulatedDisk;
  readonly ledger: MemoryLedger;
  readonly seed: number;
  readonly onBusyLoop: (life: Life) => void;
}

/** One life of one aggregator: the real service on a simulated bus and disk. Wired as in services/aggregator/src/index.ts. */
export class AggregatorProcess {
  readonly life: Life;
  /** Null until it takes calls. */
  channel: ServiceChannel | null = null;
  owner: RunOwner | null = null;

  /** `name` is the state directory's: the same for every life of it. */
  constructor(site: Site, name: string, address: string, lifeNumber: number) {
    this.life = new Life(`${name}#${lifeNumber}`, site.clock, site.onBusyLoop);
    // what fails before it is up ends the process; the operator starts it again
    this.boot(site, name, address).catch(() => this.life.kill());
  }

  private async boot({ nats, disk, ledger, seed }: Site, name: string, address: string): Promise<void> {
    const { life } = this;
    const bus = nats.connect(life);
    const time = life.time;
    const stores: Stores = {
      runs: await busRuns(bus),
      rounds: await busRounds(bus),
      leases: await busLeases(bus),
      plans: await busPlans(bus),
      imports: await busImports(bus),
      apps: disk.appsFor(life),
      models: disk.modelsFor(life),
      intakes: disk.intakesFor(life),
      close: async () => {},
    };
    const ground: Ground = {
      stores,
      peers: await natsPeers(bus, time, silentLogger, PARALLEL_TASKS, {
        ledger: ledgerFor(ledger, life),
        secagg: null,
      }),
      clock: time,
      random: seededRandom(`${seed} ${life.name}`),
      telemetry: noTelemetry,
      measures,
      log: silentLogger,
      limits: { initialModelBytes: 2 ** 20 },
      modelUse: new ModelUse(),
      diskFullTold: new Map(),
    };
    const owner = new RunOwner(ground, { owner: name, volume: 'shared', address, leaseMs: LEASE_MS });
    this.owner = owner;
    await owner.start();
    this.channel = inProcessChannel([intakeService(ground, owner), runsService(ground, owner)], {
      log: silentLogger,
      telemetry: noTelemetry,
    });
  }

  /** As on SIGTERM: gives its runs away, then ends. */
  async drain(): Promise<void> {
    await this.owner?.drain();
    this.life.kill();
  }
}
