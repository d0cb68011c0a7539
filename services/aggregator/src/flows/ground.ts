import type { Clock, Logger, Random, Telemetry } from '@aegis/service-kit';
import type { Peers } from '../peers/contract.ts';
import type { Stores } from '../store/contract.ts';
import type { Measures } from './measures.ts';
import type { ModelUse } from './model-use.ts';

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
  readonly modelUse: ModelUse;
  /** Runs whose people were told that the disk is full, and when. */
  readonly diskFullTold: Map<bigint, number>;
}

export interface Limits {
  /** Bytes of a first model: what a node may send, and what a file may unpack to. */
  readonly initialModelBytes: number;
}
