// Every KV bucket of the suite. One writer each, as far as the words go; compare-and-set guards the rest.

export interface BucketOptions {
  readonly description: string;
  /** Milliseconds a value lives after its last write; 0 = for ever. */
  readonly ttlMs: number;
  readonly maxValueBytes: number;
}

/** NATS refuses larger messages (`max_payload`); key and headers need a little of it. */
export const maxPayloadBytes = 8 * 2 ** 20;
const large = maxPayloadBytes - 64 * 1024;
const small = 64 * 1024;
const hour = 3_600_000;
const day = 24 * hour;

const bucket = (description: string, maxValueBytes: number, ttlMs = 0): BucketOptions => ({
  description,
  ttlMs,
  maxValueBytes,
});

export const buckets = {
  nodes: bucket('node registry, by node id (gateway)', small),
  'node-keys': bucket('node id by public key (gateway)', small),
  'node-subjects': bucket('public key by subject of its certificate (gateway)', small),
  // Used and expired ones are listed for a while after: none is good for longer than 30 days.
  invitations: bucket('invitations of nodes, by hash of the token (gateway)', small, 90 * day),
  consents: bucket('what nodes consent to, by node id (written by the gateway, read by the aggregator)', small),
  'app-signatures': bucket('signatures of apps, by bundle hash (gateway)', small),
  uploads: bucket('push sessions (gateway)', large, hour),
  tasks: bucket('mailboxes: <node id>.<task id> (written by the aggregator, watched by the gateway)', large),
  runs: bucket('run documents (aggregator)', large),
  rounds: bucket('round documents (aggregator)', large),
  apps: bucket('uploaded apps: what is known of them (aggregator)', large),
  plans: bucket('captured plans (aggregator)', large),
  models: bucket('model versions (aggregator)', large),
  leases: bucket('who works on what (aggregator)', small),
  'secagg-rounds': bucket('masked rounds: <run>.<round> (secagg)', large, 3 * day),
  'secagg-facts': bucket('what happened in them: <run>.<round>.<fact> (secagg)', large, 3 * day),
  accountants: bucket('who writes the privacy ledger (privacy-accountant)', small),
} as const;

export type BucketName = keyof typeof buckets;
