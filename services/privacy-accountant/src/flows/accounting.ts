import type { EpsilonReport } from '../domain/balance.ts';
import type { Charges } from '../domain/charges.ts';
import type { Pricing } from '../domain/pricing.ts';

/** What the Rust core knows about events; core-accounting.ts is the one that is used. */
export interface Accounting extends Pricing {
  /**
   * Events as callers write them, as texts in which every field is written out, each with its count. PRIVACY_EVENT_INVALID for what cannot be
   * accounted for.
   */
  check(texts: readonly string[]): string[];
  /** The smallest upper bound there is, for events whose parameters were fixed ahead. Off the event loop. */
  epsilonOf(events: Charges, delta: number): Promise<EpsilonReport>;
  /** The same by the quick methods alone, on the event loop: for what is asked after every round. */
  quickEpsilonOf(events: Charges, delta: number): EpsilonReport;
  /** The least noise multiplier of the events that have none; Infinity when none is enough. */
  noiseFor(texts: readonly string[], epsilon: number, delta: number): Promise<number>;
}
