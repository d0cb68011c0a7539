import type { Clock, Logger, Random, Telemetry } from '@aegis/service-kit';
import type { Stores } from '../store/contract.ts';
import type { Accounting } from './accounting.ts';
import type { Measures } from './measures.ts';

/** What the ledger itself stands on. */
export interface LedgerGround {
  readonly stores: Stores;
  readonly accounting: Accounting;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly measures: Measures;
  readonly log: Logger;
}
