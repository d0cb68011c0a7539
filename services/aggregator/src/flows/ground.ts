import type { Clock, Logger, Random, Telemetry } from '@aegis/service-kit';
import type { Peers } from '../peers/contract.ts';
import type { Stores } from '../store/contract.ts';
import type { Measures } from './measures.ts';

/** What every flow stands on. */
export interface Ground {
  readonly stores: Stores;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly measures: Measures;
  readonly log: Logger;
  readonly limits: Limits;
}

export interface Limits {
  /** Bytes of the first model that a node may send. */
  readonly initialModelBytes: number;
}
