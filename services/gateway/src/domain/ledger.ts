// The privacy ledger as people see it.

export type ScopeKind = 'run' | 'dataset' | 'unit';

/** Whose budget; without a name, the default of its kind. */
export interface Scope {
  readonly kind: ScopeKind;
  readonly name: string;
}

/** What one scope has spent and may spend. Reservations count as spent. */
export interface Balance {
  readonly scope: Scope;
  readonly partition: string;
  readonly epsilonBudget: number;
  readonly delta: number;
  readonly epsilon: number;
  /** Share of the budget, 0 to 1. */
  readonly used: number;
  readonly composition: string;
  readonly method: string;
  readonly reserved: bigint;
  readonly committed: bigint;
}

export interface Budgets {
  readonly balances: readonly Balance[];
  readonly defaults: readonly Balance[];
}

export interface BudgetEdit {
  readonly scope: Scope;
  readonly epsilon: number;
  /** 0 = as it is. */
  readonly delta: number;
  readonly addPartitions: readonly string[];
}

export interface BudgetAlert {
  readonly balance: Balance;
  readonly percent: number;
  /** Unix seconds. */
  readonly at: number;
  readonly detail: string;
}

export interface LedgerVerdict {
  readonly sound: boolean;
  readonly entries: bigint;
  readonly head: string;
  readonly anchored: bigint;
  readonly findings: readonly string[];
}

export interface LedgerEntries {
  readonly entries: readonly {
    readonly sequence: bigint;
    readonly at: number;
    readonly hash: string;
    readonly content: string;
  }[];
  /** 0 = that was all. */
  readonly next: bigint;
}

/** A signed envelope; what is in it is the reader's business. */
export interface PrivacyStatement {
  readonly payloadType: string;
  readonly payload: Buffer;
  readonly signature: Buffer;
  readonly keyId: string;
  readonly publicKey: string;
}
