/** What is written down. Names are for good: later releases add some and change none. */
export const AUDIT_EVENTS = [
  'gateway-started',
  'gateway-stopped',
  'node-enrolled',
  'node-approved',
  'node-removed',
  'certificate-renewed',
  'invitation-made',
  'invitation-revoked',
  'run-started',
  'run-stopped',
  'run-taken-over',
  'plan-put',
  'app-signed',
  'model-imported',
  'model-exported',
  'budget-set',
  'statement-made',
  'consent-given',
  'consent-withdrawn',
  'caller-refused',
  'account-logged-in',
  'account-renewed',
  'account-refused',
  'entries-lost',
] as const;
export type AuditEvent = (typeof AUDIT_EVENTS)[number];

/** One decision. Names, ids and numbers; never payload, keys or tokens. */
export interface AuditEntry {
  readonly event: AuditEvent;
  /** Unix milliseconds, by the clock of the gateway. */
  readonly at: number;
  /** The gateway that wrote it. */
  readonly by: string;
  /** Who did it: `operator`, `flwr at 127.0.0.1`, `account ada at 10.0.0.7`, `node 12…`, `gateway`; of a refusal the address. */
  readonly actor: string;
  /** What it was done to: `node 12…`, `run 7…`, `model …`. */
  readonly subject: string;
  readonly detail: string;
  /** Trace id of the call; empty where it had none. */
  readonly trace: string;
}

/** What whoever notes it knows; the trail adds the rest. */
export type Noted = Pick<AuditEntry, 'event' | 'actor'> & Partial<Pick<AuditEntry, 'subject' | 'detail'>>;

export interface KeptAuditEntry extends AuditEntry {
  /** From 1. */
  readonly sequence: number;
  /** Chained over all entries before it; hex. Whoever keeps it elsewhere can tell later whether any of them is missing. */
  readonly hash: string;
}

/** Text that somebody else chose, in a line of ours. */
export const audited = (text: string, most = 300): string => text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, most);
