import { AegisError } from '@aegis/errors';

/**
 * What is remembered of a node. `activity` is the last thing durably known of it; whether it is online is a matter of
 * heartbeats, which live in memory only (see presence.ts).
 */
export type Activity = 'registered' | 'active' | 'deactivated' | 'expired' | 'removed';
/** `http` and `grpc`: Flower's Fleet API. `native`: aegis.node.v1; `guard`: the same, for a SuperNode. `join`: Flower's start_client. */
export type WireDialect = 'http' | 'grpc' | 'native' | 'guard' | 'join' | 'rest' | '';

export interface NodeRecord {
  readonly nodeId: bigint;
  /** SPKI as PEM; empty for a node without a key. */
  readonly publicKey: string;
  /** SHA-256 of the key's SPKI bytes, hex. */
  readonly fingerprint: string;
  readonly name: string;
  /** Of the client certificate it belongs to; empty when it came without one. */
  readonly subject: string;
  /** Whose node it is, by the certificate it last came to work with; empty: it does not say. */
  readonly user: string;
  /** When the certificate ends that it last came to work with, Unix milliseconds; 0: it came with none. */
  readonly certificateUntil: number;
  /** It came by itself under open enrolment; nobody vouched for it. */
  readonly selfRegistered: boolean;
  readonly registeredAt: number;
  readonly activatedAt: number;
  readonly lastSeenAt: number;
  readonly heartbeatSeconds: number;
  readonly activity: Activity;
  readonly flwrVersion: string;
  readonly dialect: WireDialect;
  /** Takes part in secure aggregation, by its own word when it last came to work. */
  readonly canMask: boolean;
  /** Of a node that signs with a secret instead of a key, which is derived with it; hex. */
  readonly restSalt?: string;
}

export type NodeState = 'registered' | 'online' | 'offline' | 'removed';

export const HEARTBEAT_SECONDS = { min: 10, max: 1800 } as const;

export const registerNode = (
  node: Pick<NodeRecord, 'nodeId' | 'publicKey' | 'fingerprint' | 'name' | 'selfRegistered'> & {
    readonly subject?: string;
    readonly user?: string;
  },
  now: number,
): NodeRecord => ({
  subject: '',
  user: '',
  certificateUntil: 0,
  ...node,
  registeredAt: now,
  activatedAt: 0,
  lastSeenAt: 0,
  heartbeatSeconds: 0,
  activity: 'registered',
  flwrVersion: '',
  dialect: '',
  canMask: false,
});

/** A client without a key: known by its connection, for as long as that lasts. */
export const guestNode = (nodeId: bigint, heartbeatSeconds: number, now: number): NodeRecord => ({
  ...registerNode({ nodeId, publicKey: '', fingerprint: '', name: '', selfRegistered: true }, now),
  activity: 'active',
  activatedAt: now,
  lastSeenAt: now,
  heartbeatSeconds,
  dialect: 'join',
});

export const activateNode = (
  record: NodeRecord,
  by: {
    heartbeatSeconds: number;
    flwrVersion: string;
    dialect: WireDialect;
    canMask?: boolean;
    user?: string;
    certificateUntil?: number;
  },
  now: number,
): NodeRecord => {
  refuseRemoved(record);
  checkHeartbeatSeconds(by.heartbeatSeconds);
  return {
    ...record,
    canMask: false,
    user: '',
    certificateUntil: 0,
    ...by,
    activity: 'active',
    activatedAt: now,
    lastSeenAt: now,
  };
};

export const deactivateNode = (record: NodeRecord, now: number): NodeRecord => ({
  ...record,
  activity: 'deactivated',
  lastSeenAt: now,
});

/** Its heartbeats stopped. `lastSeenAt` is when it was last heard, not now. */
export const expireNode = (record: NodeRecord, lastSeenAt: number): NodeRecord => ({
  ...record,
  activity: 'expired',
  lastSeenAt,
});

/** A node that was given up calls again. */
export const reviveNode = (record: NodeRecord, now: number): NodeRecord => ({
  ...record,
  activity: 'active',
  lastSeenAt: now,
});

/** Expelled: the record stays, so that the key cannot register itself again. */
export const removeNode = (record: NodeRecord, now: number): NodeRecord => ({
  ...record,
  activity: 'removed',
  lastSeenAt: now,
});

/** So long a REST node that registered itself has, to ask for work for the first time. */
export const UNCLAIMED_MS = 3_600_000;

export const isUnclaimed = (record: NodeRecord, now: number): boolean =>
  record.dialect === 'rest' &&
  record.selfRegistered &&
  record.activity === 'registered' &&
  now - record.registeredAt >= UNCLAIMED_MS;

/** Only an activated node works: it is offered tasks and its heartbeats count. */
export const isAtWork = (record: NodeRecord): boolean => record.activity === 'active' || record.activity === 'expired';

export const nodeState = (record: NodeRecord, online: boolean): NodeState => {
  if (record.activity === 'removed') return 'removed';
  if (online) return 'online';
  return record.activity === 'registered' ? 'registered' : 'offline';
};

export const refuseRemoved = (record: NodeRecord): void => {
  if (record.activity === 'removed') throw new AegisError('NODE_KEY_UNKNOWN', `Node ${record.nodeId} was removed.`);
};

export const checkHeartbeatSeconds = (seconds: number): void => {
  if (seconds >= HEARTBEAT_SECONDS.min && seconds <= HEARTBEAT_SECONDS.max) return;
  throw new AegisError('HEARTBEAT_INTERVAL', `Got ${seconds} seconds.`);
};

/** A node without work pulls again within 25 seconds: one that is silent longer than this is not there, whatever it announced. */
export const IDLE_SECONDS = 60;

/** Two intervals may pass without a sign of life; a node that waits for work has no reason to be silent for long. */
export const onlineUntil = (lastSeenAt: number, heartbeatSeconds: number, atTask: boolean): number =>
  lastSeenAt + Math.min(2 * heartbeatSeconds, atTask ? Number.POSITIVE_INFINITY : IDLE_SECONDS) * 1000;
