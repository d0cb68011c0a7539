import { AegisError } from '@aegis/errors';
import type { Clock, Logger } from '@aegis/service-kit';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const TELL_EVERY_MS = 60_000;

/**
 * For a start that needs somebody outside: repeats `work` while it fails for want of an answer, ever more slowly, and says so once a minute. Anything
 * else it throws, a wrong configuration for instance, ends the start.
 */
export async function untilReachable<T>(
  work: () => Promise<T>,
  { log, clock }: { readonly log: Logger; readonly clock: Clock },
): Promise<T> {
  let told = Number.NEGATIVE_INFINITY;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await work();
    } catch (error) {
      const { entry, code, message } = AegisError.from(error);
      if (entry.kind !== 'unavailable') throw error;
      if (clock.monotonic() - told >= TELL_EVERY_MS) {
        log.warn({ code, reason: message }, 'not ready: waiting for somebody outside');
        told = clock.monotonic();
      }
    }
    await clock.sleep(pause);
  }
}
