import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bus } from '@aegis/bus';
import { KeyFile } from '@aegis/core-native';
import type { Random } from '@aegis/service-kit';
import type { Stores } from '../contract.ts';
import { appFiles } from './app-files.ts';
import { inCore } from './core-errors.ts';
import { busImports, busLeases, busPlans, busRounds, busRuns } from './documents.ts';
import { takePlace, volumeOf } from './identity.ts';
import { IntakeDirectory } from './intake-directory.ts';
import { dataKeyAt } from './keys.ts';
import { ModelDirectory } from './model-directory.ts';

export interface DurableStores extends Stores {
  /** Who holds the leases of this process, and of the one after it on the same state directory. */
  readonly owner: string;
  /** Made once with the state directory. */
  readonly volume: string;
}

/**
 * Everything under one state directory: `volume keys/ apps/ models/ intake/ owner/`. Several processes may work on one; which of them has a
 * run is a matter of leases. Coordination is on the bus.
 */
export async function openDurableStores(bus: Bus, stateDir: string, random: Random): Promise<DurableStores> {
  await inCore(() => mkdir(join(stateDir, 'keys'), { recursive: true, mode: 0o700 }));
  const keys = await inCore(() => KeyFile.open(join(stateDir, 'keys', 'aggregator.key'), { create: true }));
  const wrapped = (name: string) => dataKeyAt(join(stateDir, 'keys', `${name}.wrapped`), `aggregator/${name}`, keys);
  const place = await takePlace(stateDir, await wrapped('owner'));
  const models = await ModelDirectory.open(join(stateDir, 'models'), await wrapped('models'), place.number, random);
  return {
    owner: place.owner,
    volume: await volumeOf(stateDir),
    runs: await busRuns(bus),
    rounds: await busRounds(bus),
    leases: await busLeases(bus),
    apps: await appFiles(bus, join(stateDir, 'apps'), await wrapped('apps')),
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
