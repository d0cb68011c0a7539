import { termsDigest } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { checkOpened, isSameRound, type Opened } from '../domain/masking.ts';
import { over } from '../domain/refuse.ts';
import type { Ground } from './ground.ts';

/** Repeating it changes nothing. SECAGG_KEY_CONFLICT for other content under the same reference. */
export const openRound = async (ground: Ground, opened: Opened): Promise<void> => {
  if (ground.trust === null) throw new AegisError('SECAGG_NOT_SERVED');
  checkOpened(opened);
  try {
    termsDigest(opened.terms);
  } catch (cause) {
    throw new AegisError('REQUEST_MALFORMED', 'The terms of a masked round cannot be read.', cause);
  }
  const kept = await ground.store.open(opened);
  if (kept.state === 'ended') throw over(kept.reason);
  if (!isSameRound(kept.opened, opened)) {
    throw new AegisError('SECAGG_KEY_CONFLICT', `Run ${opened.ref.runId}, round ${opened.ref.round} of the terms.`);
  }
  if (!ground.rounds.has(opened.ref)) ground.measures.opened.add(1);
  await ground.rounds.live(kept.opened).ready();
};
