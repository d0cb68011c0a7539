import { AegisError } from '@aegis/errors';
import type { Clock, Logger } from '@aegis/service-kit';
import { OwnershipLost } from './fenced-document.ts';

const PAUSE_MS = 1_000;

/**
 * Repeats what fails for want of a store, a lock or disk space until it works or `signal` says to give up. For steps of a run
 * that nobody can be told about: an outage makes the run later, not different.
 */
export async function untilAvailable<T>(
  work: () => Promise<T>,
  { clock, log }: { clock: Clock; log: Logger },
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof OwnershipLost || AegisError.from(error).entry.kind !== 'unavailable') throw error;
      log.warn({ err: error }, 'waiting for a store');
      await clock.sleep(PAUSE_MS, signal);
    }
  }
}
