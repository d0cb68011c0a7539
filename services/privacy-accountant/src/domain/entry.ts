import type { Charges } from './charges.ts';
import type { Policy } from './policy.ts';
import type { Scope } from './scope.ts';

/**
 * What the ledger is made of. Append-only as a vocabulary too: a kind is never removed and never changes its meaning, so that any later
 * release, and any better accountant, can read what was written.
 */
export type Entry = { readonly at: number } & Fact;

export type Fact =
  /** A writer begins; whoever wrote before writes no more. */
  | { readonly kind: 'opened'; readonly epoch: number; readonly writer: string }
  /** The operator accepted a history that the anchor does not vouch for. */
  | { readonly kind: 'accepted'; readonly head: string; readonly because: string }
  | {
      readonly kind: 'budget';
      readonly scope: Scope;
      readonly epsilon: number;
      readonly delta: number;
      readonly order: number;
      /** Of a data set, added to those it has. */
      readonly partitions: readonly string[];
    }
  /** A run's first reservation fixes its policy. */
  | {
      readonly kind: 'run';
      readonly policy: Policy;
      readonly digest: string;
      readonly epsilon: number;
      readonly delta: number;
      readonly order: number;
      /** Of its whole schedule, an upper bound; null without one. */
      readonly scheduled: { readonly epsilon: number; readonly method: string } | null;
    }
  | {
      readonly kind: 'reserved';
      readonly id: string;
      readonly key: string;
      /** SHA-256 of what was asked. */
      readonly digest: string;
      readonly runId: bigint;
      /** Pseudonyms seen for the first time; they get the next numbers. */
      readonly newUnits: readonly string[];
      /** Numbers of all units concerned, ascending. */
      readonly units: Int32Array;
      readonly events: Charges;
    }
  | {
      readonly kind: 'committed';
      readonly id: string;
      /** As charged from here on. */
      readonly events: Charges;
      readonly result: string;
      readonly inTheClear: readonly string[];
    }
  | { readonly kind: 'released'; readonly id: string; readonly proof: string; readonly reason: string };
