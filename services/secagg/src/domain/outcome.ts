import { AegisError } from '@aegis/errors';
import type { NodeId } from './masking.ts';
import { ascending, type Ended, type Excluded, type Openable, type Round } from './state.ts';

// What the aggregator is told.

export interface SharingOutcome {
  readonly participants: readonly NodeId[];
  readonly excluded: readonly Excluded[];
}

/** Null: not settled yet. Throws when the round has ended. */
export const sharingOutcome = (round: Round): SharingOutcome | null => {
  if (round.stage === 'ended') throw endOf(round);
  if (!('participants' in round)) return null;
  return { participants: ascending(round.participants), excluded: round.excluded };
};

/** Null: not settled yet. Throws when the round has ended. */
export const openable = (round: Round): Openable | null => {
  if (round.stage === 'ended') throw endOf(round);
  return round.stage === 'open' ? round : null;
};

export const endOf = ({ code, reason }: Ended): AegisError => new AegisError(code, reason);
