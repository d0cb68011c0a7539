import type { KeyObject } from 'node:crypto';
import type { Alerts } from './alerts.ts';
import type { Ledger } from './ledger.ts';
import type { LedgerGround } from './ledger-ground.ts';

/** What every flow stands on. */
export interface Ground extends LedgerGround {
  readonly ledger: Ledger;
  readonly alerts: Alerts;
  /** Ed25519; signs statements. */
  readonly signer: KeyObject;
}
