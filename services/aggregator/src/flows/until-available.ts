import { AegisError } from '@aegis/errors';
import { OwnershipLost } from './fenced-document.ts';
import type { Ground } from './ground.ts';
import { tellDiskFull } from './tell-disk-full.ts';

const PAUSE_MS = 1_000;
const TELL_EVERY = 60;

/**
 * Repeats what fails for want of a store, a lock or disk space until it works or `signal` says to give up. For steps of a run
 * that nobody can be told about: an outage makes the run later, not different.
 */
export async function untilAvailable<T>(
  work: () => Promise<T>,
  ground: Ground,
  runId: bigint,
  signal: AbortSignal,
): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof OwnershipLost || AegisError.from(error).entry.kind !== 'unavailable') throw error;
      tellDiskFull(ground, runId, error);
      if (failures % TELL_EVERY === 0) ground.log.warn({ err: error, runId }, 'waiting for a store');
      await ground.clock.sleep(PAUSE_MS, signal);
    }
  }
}
