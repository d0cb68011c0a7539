import type { Clock, Logger, Telemetry } from '@aegis/service-kit';
import type { RoundStore } from '../store/contract.ts';
import type { Measures } from './measures.ts';

/** What every live round stands on. */
export interface RoundGround {
  readonly store: RoundStore;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly measures: Measures;
  readonly log: Logger;
}
