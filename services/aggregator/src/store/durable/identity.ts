// Who this is and where: a state directory is a volume, and each process that works on it holds one of its places.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { CoreError, type DataKey, IntakeLog } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import { keepFirst } from '@aegis/service-kit';
import { inCore } from './core-errors.ts';

/** More processes than anybody starts on one volume. */
const PLACES = 64;
const IDENTITY = 'identity';

/** A random name that stays with the state directory, and is copied only with it. */
export async function volumeOf(stateDir: string): Promise<string> {
  const file = join(stateDir, 'volume');
  const id = (await keepFirst(file, () => Buffer.from(`${randomBytes(16).toString('hex')}\n`))).toString('utf8').trim();
  if (!/^[0-9a-f]{32}$/.test(id)) throw new AegisError('CONFIG_INVALID', `state-dir: ${file} holds no volume id.`);
  return id;
}

export interface Place {
  /** The same for whoever holds this place next: it knows that its predecessor is dead, and goes on with its runs at once. */
  readonly owner: string;
  /** Among the places of the volume. */
  readonly number: number;
  leave(): Promise<void>;
}

/**
 * The first place that no living process holds. An intake log is also a lock, and the kernel gives it back when the process ends,
 * however it ends; a process that is only paused keeps its place.
 */
export async function takePlace(stateDir: string, key: DataKey): Promise<Place> {
  for (let number = 0; number < PLACES; number += 1) {
    const log = await tryLock(join(stateDir, 'owner', String(number)), key);
    if (log === null) continue;
    if (!log.has(IDENTITY)) {
      const id = Buffer.from(randomBytes(16).toString('hex'));
      await inCore(() => log.append(IDENTITY, IDENTITY, [id]));
    }
    const owner = (await inCore(() => log.read(IDENTITY))).toString('utf8');
    return { owner, number, leave: () => inCore(() => log.close()) };
  }
  throw new AegisError('CONFIG_INVALID', `state-dir: ${PLACES} aggregators work on ${stateDir} already.`);
}

async function tryLock(folder: string, key: DataKey): Promise<IntakeLog | null> {
  try {
    return await IntakeLog.open(folder, key);
  } catch (error) {
    if (error instanceof CoreError && error.code === 'LOG_LOCKED') return null;
    return inCore(() => Promise.reject(error));
  }
}
