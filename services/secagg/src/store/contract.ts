import type { Fact } from '../domain/fact.ts';
import type { Opened, RoundRef } from '../domain/masking.ts';

/** A round as it was opened, until it ends; of one that has ended only how. */
export type KeptRound =
  | { readonly state: 'open'; readonly opened: Opened }
  | { readonly state: 'ended'; readonly code: string; readonly reason: string };

/**
 * Rounds and what happened in them, shared by all processes of the service. Every write is durable when it resolves, and none is ever
 * changed: of two processes the first to write stands. Calls fail with STORE_UNAVAILABLE during an outage; all may be repeated.
 */
export interface RoundStore {
  /** What is kept under this reference: this, or what was there before. */
  open(opened: Opened): Promise<KeptRound>;
  find(ref: RoundRef): Promise<KeptRound | null>;
  /** The open rounds of a run. */
  openOf(runId: string): Promise<Opened[]>;
  /** Writes a fact, unless one of its name is there. BODY_TOO_LARGE for one that does not fit. */
  add(ref: RoundRef, fact: Fact): Promise<void>;
  /**
   * What happened, in the one order that all processes see, then `caught-up` once, then what happens, until the signal. What was forgotten is
   * not told.
   */
  follow(ref: RoundRef, signal: AbortSignal): AsyncIterable<Fact | 'caught-up'>;
  /** Forgets every fact but the end, then marks the round as ended. The first end stands. */
  end(ref: RoundRef, end: Extract<Fact, { kind: 'ended' }>): Promise<void>;
}
