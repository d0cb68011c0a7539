import type { SigningTrust } from '@aegis/service-kit';
import type { LiveRounds } from './live-rounds.ts';
import type { RoundGround } from './round-ground.ts';

/** Everything a flow may touch. */
export interface Ground extends RoundGround {
  readonly rounds: LiveRounds;
  /** Whose signing certificates count; null: nobody's, and no round is opened. */
  readonly trust: SigningTrust | null;
  /** For the total mask. */
  readonly threads: number;
}

/** How long a call is held before its caller hears that there is nothing yet; callers give up after 30. */
export const HOLD_MS = 20_000;
