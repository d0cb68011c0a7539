import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bus } from '@aegis/bus';
import { CoreError, IntakeLog, KeyFile } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import type { Random } from '@aegis/service-kit';
import type { Stores } from '../contract.ts';
import { appFiles } from './app-files.ts';
import { inCore } from './core-errors.ts';
import { busImports, busLeases, busPlans, busRounds, busRuns } from './documents.ts';
import { IntakeDirectory } from './intake-directory.ts';
import { dataKeyAt } from './keys.ts';
import { ModelDirectory } from './model-directory.ts';

export interface DurableStores extends Stores {
  /** Made once with the state directory: who holds its leases, also after a restart. */
  readonly owner: string;
}

const IDENTITY = 'identity';

/**
 * Everything under one state directory, which one process at a time may use: `keys/ apps/ models/ intake/ owner/`.
 * Coordination is on the bus.
 */
export async function openDurableStores(bus: Bus, stateDir: string, random: Random): Promise<DurableStores> {
  await mkdir(join(stateDir, 'keys'), { recursive: true, mode: 0o700 });
  const keys = await inCore(() => KeyFile.open(join(stateDir, 'keys', 'aggregator.key'), { create: true }));
  const wrapped = (name: string) => dataKeyAt(join(stateDir, 'keys', `${name}.wrapped`), `aggregator/${name}`, keys);
  const lock = await lockOwner(join(stateDir, 'owner'), await wrapped('owner'), stateDir);
  const models = await ModelDirectory.open(join(stateDir, 'models'), await wrapped('models'), random);
  return {
    owner: await identityIn(lock),
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
      await inCore(() => lock.close());
    },
  };
}

/** An intake log is also the lock of its folder: the kernel gives it back when the process ends, however it ends. */
async function lockOwner(
  folder: string,
  key: Parameters<typeof IntakeLog.open>[1],
  stateDir: string,
): Promise<IntakeLog> {
  try {
    return await IntakeLog.open(folder, key);
  } catch (error) {
    if (!(error instanceof CoreError) || error.code !== 'LOG_LOCKED') return inCore(() => Promise.reject(error));
    throw new AegisError('CONFIG_INVALID', `state-dir: ${stateDir} is in use by another aggregator.`, error);
  }
}

async function identityIn(log: IntakeLog): Promise<string> {
  if (!log.has(IDENTITY))
    await inCore(() => log.append(IDENTITY, IDENTITY, [Buffer.from(randomBytes(16).toString('hex'))]));
  return (await inCore(() => log.read(IDENTITY))).toString('utf8');
}
