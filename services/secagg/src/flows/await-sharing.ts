import type { RoundRef } from '../domain/masking.ts';
import { type SharingOutcome, sharingOutcome } from '../domain/outcome.ts';
import { type Ground, HOLD_MS } from './ground.ts';

/** Whose vectors can be taken; null: nothing yet. */
export const awaitSharing = async (
  ground: Ground,
  ref: RoundRef,
  signal: AbortSignal,
): Promise<SharingOutcome | null> => (await ground.rounds.get(ref)).until(sharingOutcome, HOLD_MS, signal);
