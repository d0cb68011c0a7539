import type { RoundRef } from '../domain/masking.ts';
import type { Ground } from './ground.ts';

/** Ends the round for everybody and forgets what it knew. Also of one that nobody opened. */
export const endRound = async (ground: Ground, ref: RoundRef, reason: string): Promise<void> => {
  const code = 'SECAGG_ROUND_OVER';
  await ground.store.end(ref, { kind: 'ended', code, reason: reason || 'The round has ended.' });
};
