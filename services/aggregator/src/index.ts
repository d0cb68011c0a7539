import type { Bus } from '@aegis/bus';
import { openKeys, openS3, type S3Config } from '@aegis/cloud';
import {
  type Clock,
  type LocalService,
  type Logger,
  type Random,
  type ServiceChannel,
  systemClock,
  systemRandom,
  type Telemetry,
  watchVolume,
} from '@aegis/service-kit';
import { intakeService } from './api/intake.ts';
import { runsService } from './api/runs.ts';
import type { AggregatorConfig } from './config.ts';
import type { Ground } from './flows/ground.ts';
import { createMeasures, watchRuns } from './flows/measures.ts';
import { ModelUse } from './flows/model-use.ts';
import { RunOwner } from './flows/own-runs.ts';
import { ledgerPeer } from './peers/ledger.ts';
import { natsPeers } from './peers/nats/index.ts';
import { secaggPeer } from './peers/secagg.ts';
import { type Outside, openDurableStores } from './store/durable/index.ts';

export { type AggregatorConfig, aggregatorConfig } from './config.ts';

export interface AggregatorDeps {
  readonly bus: Bus;
  readonly telemetry: Telemetry;
  readonly log: Logger;
  readonly clock?: Clock;
  readonly random?: Random;
  /** The way to the privacy-accountant; without it private runs are refused. */
  readonly ledger?: ServiceChannel | undefined;
  /** The way to the secagg service; without it masked runs are refused. */
  readonly secagg?: ServiceChannel | null | undefined;
  /** host:port of this process among several; without it calls go where every call goes. */
  readonly address?: string | undefined;
}

export interface Aggregator {
  /** Intake and Runs, for whichever transport. */
  readonly services: LocalService[];
  /** Gives its runs away; calls are still answered, unfinished work with DRAINING. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/** Opens the state and goes on with every run that was under way. */
export async function startAggregator(config: AggregatorConfig, deps: AggregatorDeps): Promise<Aggregator> {
  const { bus, telemetry, log, clock = systemClock, random = systemRandom } = deps;
  const { close: closeOutside, ...outside } = await openOutside(config);
  const stores = await openDurableStores(bus, config['state-dir'], random, { ...outside, log, clock });
  const ledger = deps.ledger === undefined ? null : ledgerPeer(deps.ledger);
  const secagg = deps.secagg ? secaggPeer(deps.secagg) : null;
  const peers = await natsPeers(bus, clock, log, config['parallel-tasks'], { ledger, secagg });
  const limits = { initialModelBytes: config['initial-model-bytes'] };
  const measures = createMeasures(telemetry);
  const modelUse = new ModelUse();
  const diskFullTold = new Map<bigint, number>();
  const watched = { telemetry, measures, log };
  const ground: Ground = { stores, peers, clock, random, limits, modelUse, diskFullTold, ...watched };
  const abandonAfter = config['abandon-volume-after'] ?? (config.s3 && ABANDON_SECONDS);
  const owner = new RunOwner(ground, {
    owner: stores.owner,
    volume: stores.volume,
    address: deps.address ?? '',
    leaseMs: config['lease-seconds'] * 1000,
    abandonVolumeAfterMs: abandonAfter && abandonAfter * 1000,
  });
  watchRuns(
    telemetry,
    () => clock.now(),
    () => owner.driven(),
  );
  watchVolume(telemetry.meter, 'aggregator', config['state-dir']);
  await owner.start();

  let drained: Promise<void> | undefined;
  const drain = (): Promise<void> => {
    drained ??= owner.drain();
    return drained;
  };
  return {
    services: [intakeService(ground, owner), runsService(ground, owner)],
    drain,
    close: async () => {
      await drain();
      await peers.close();
      await stores.close();
      closeOutside();
    },
  };
}

/** With everything but its intake at hand elsewhere, a run waits this long for its volume: longer than a volume takes to come to another machine. */
const ABANDON_SECONDS = 600;

async function openOutside({ s3, keys }: AggregatorConfig): Promise<Outside & { close: () => void }> {
  const { 'cache-bytes': cacheBytes = 0, ...place } = s3 ?? {};
  const objects = s3 && (await openS3(place as S3Config));
  const wrapping = keys && (await openKeys(keys));
  return {
    keys: wrapping?.wrapper,
    shared: objects && { objects, cacheBytes },
    close: () => {
      objects?.close();
      wrapping?.close();
    },
  };
}
