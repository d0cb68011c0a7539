import { AegisError } from '@aegis/errors';
import type { MaskedRef } from '../peers/contract.ts';
import type { Ground } from './ground.ts';

const TRIES = 5;
const PAUSE_MS = 1_000;

/** Nobody waits for the attempt any more. Best effort: a service that cannot be told keeps keys that nothing will be opened with. */
export async function endMasked(ground: Ground, ref: MaskedRef, reason: string, signal: AbortSignal): Promise<void> {
  const { peers, clock, log } = ground;
  for (let tried = 1; peers.secagg !== null; tried += 1) {
    try {
      return await peers.secagg.end(ref, reason, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (tried === TRIES || AegisError.from(error).entry.kind !== 'unavailable') {
        log.warn({ err: error, runId: ref.runId, round: ref.round }, 'a masked attempt was not ended');
        return;
      }
      await clock.sleep(PAUSE_MS, signal).catch(() => {});
    }
  }
}
