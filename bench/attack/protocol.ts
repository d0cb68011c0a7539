// What the bench and the process of attackers say to each other.

export interface AttackOptions {
  host: string;
  port: number;
  /** PEM of the authority that signed the server's certificate. */
  ca: string;
  /** Connections kept up, shared out to the kinds of attack. */
  connections: number;
  /** Attackers come from 127.0.1.1 and so many addresses after it. */
  addresses: number;
}

export interface AttackReport {
  /** By kind: connections begun, and calls or pieces sent over them. */
  kinds: Record<string, { begun: number; sent: number }>;
}

export type ToAttackers = { kind: 'begin'; options: AttackOptions } | { kind: 'report' } | { kind: 'stop' };
export type FromAttackers =
  | { kind: 'begun' }
  | { kind: 'report'; report: AttackReport }
  | { kind: 'failed'; reason: string };
