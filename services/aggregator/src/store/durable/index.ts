import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bus } from '@aegis/bus';
import { dataKeyAt, dataKeyIn, type KeyWrapper, keyFileWrapper, type S3Objects, untilReachable } from '@aegis/cloud';
import { type Clock, type Logger, type Random, silentLogger, systemClock } from '@aegis/service-kit';
import type { Stores } from '../contract.ts';
import { appFiles } from './app-files.ts';
import { inCore } from './core-errors.ts';
import { objectDepot } from './depot.ts';
import { busImports, busLeases, busPlans, busRounds, busRuns } from './documents.ts';
import { takePlace, volumeOf } from './identity.ts';
import { IntakeDirectory } from './intake-directory.ts';
import { ModelDirectory } from './model-directory.ts';

export interface DurableStores extends Stores {
  /** Who holds the leases of this process, and of the one after it on the same state directory. */
  readonly owner: string;
  /** Made once with the state directory. */
  readonly volume: string;
}

/** What lies outside of the volume. */
export interface Outside {
  /** Default: `keys/aggregator.key` on the volume, made on first use. */
  readonly keys?: KeyWrapper | undefined;
  /** Models and apps, for all aggregators; without it each volume has its own. */
  readonly shared?: { readonly objects: S3Objects; readonly cacheBytes: number } | undefined;
  readonly log?: Logger;
  readonly clock?: Clock;
}

/** Longer than any upload takes that somebody still waits for. */
const ABANDONED_MS = 24 * 3_600_000;

/**
 * Everything under one state directory: `volume keys/ apps/ models/ intake/ owner/`. Several processes may work on one; which of them has a
 * run is a matter of leases. Coordination is on the bus. While somebody outside does not answer, this waits and says so.
 */
export async function openDurableStores(
  bus: Bus,
  stateDir: string,
  random: Random,
  outside: Outside = {},
): Promise<DurableStores> {
  const { shared, log = silentLogger, clock = systemClock } = outside;
  await inCore(() => mkdir(join(stateDir, 'keys'), { recursive: true, mode: 0o700 }));
  const keys = outside.keys ?? keyFileWrapper(join(stateDir, 'keys', 'aggregator.key'), { create: true });
  const patiently = <T>(work: () => Promise<T>): Promise<T> => untilReachable(work, { log, clock });
  const own = (name: string) =>
    patiently(() => dataKeyAt(join(stateDir, 'keys', `${name}.wrapped`), `aggregator/${name}`, keys));
  /** What one aggregator sealed every other opens. */
  const common = (name: string) =>
    shared === undefined
      ? own(name)
      : patiently(() => dataKeyIn(shared.objects, `keys/${name}.wrapped`, `aggregator/${name}`, keys));
  const depot = (prefix: string) => (shared === undefined ? null : objectDepot(shared.objects, prefix));
  const swept = await patiently(async () => shared?.objects.sweep('', clock.now() - ABANDONED_MS) ?? 0);
  if (swept > 0) log.info({ uploads: swept }, 'parts of uploads that nobody ended were removed');
  const [modelKey, appKey] = [await common('models'), await common('apps')];
  const place = await takePlace(stateDir, await own('owner'));
  const modelDepot = depot('models/');
  const models = await ModelDirectory.open(
    join(stateDir, shared === undefined ? 'models' : 'models-cache'),
    modelKey,
    place.number,
    random,
    modelDepot && shared ? { depot: modelDepot, cacheBytes: shared.cacheBytes } : null,
  );
  return {
    owner: place.owner,
    volume: await volumeOf(stateDir),
    runs: await busRuns(bus),
    rounds: await busRounds(bus),
    leases: await busLeases(bus),
    apps: await appFiles(bus, join(stateDir, shared === undefined ? 'apps' : 'apps-cache'), appKey, depot('apps/')),
    plans: await busPlans(bus),
    imports: await busImports(bus),
    models,
    intakes: new IntakeDirectory(join(stateDir, 'intake'), keys, models),
    close: async () => {
      await models.close();
      await place.leave();
    },
  };
}
