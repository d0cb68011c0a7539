import type { AuditEntry, KeptAuditEntry } from '../domain/audit.ts';
import type { Consent } from '../domain/consent.ts';
import type { Invitation } from '../domain/invitation.ts';
import type { NodeRecord } from '../domain/node.ts';
import type { UploadRecord, Verdict } from '../domain/upload.ts';

/**
 * The registry of nodes, shared by all gateways. A key belongs to at most one node at any time, whatever races.
 * Every method may fail with STORE_UNAVAILABLE. byKey sees own changes at once, another gateway's shortly after.
 */
export interface NodeStore {
  /**
   * The node this key (by fingerprint) belongs to, removed ones included; null when nobody has it. `ask` false: a key that is not at hand is
   * nobody's, though another gateway may have written of it a moment ago.
   */
  byKey(fingerprint: string, ask?: boolean): Promise<NodeRecord | null>;
  /** As it stands in the store now, past every cache. */
  latest(nodeId: bigint): Promise<NodeRecord | null>;
  /** Registers a new node. When the key has an owner already, nothing changes and the owner is returned. */
  register(record: NodeRecord): Promise<NodeRecord>;
  /** Like register, but a key whose owner was removed passes to the new node. */
  reregister(record: NodeRecord): Promise<NodeRecord>;
  /**
   * A certificate's subject belongs to the first key that comes with it. Returns the fingerprint it belongs to: this one, or
   * the one that was earlier, whatever became of its node.
   */
  claimSubject(subject: string, fingerprint: string): Promise<string>;
  /** Atomic read-modify-write. Returns null when there is no such node; `change` may be called more than once. */
  change(nodeId: bigint, change: (record: NodeRecord) => NodeRecord): Promise<NodeRecord | null>;
  /** Forgets the node and frees its key. */
  delete(nodeId: bigint): Promise<void>;
  list(): Promise<NodeRecord[]>;
  /** Calls back for every change from now on, by whichever gateway; null = forgotten. */
  onChange(listener: (nodeId: bigint, record: NodeRecord | null) => void): void;
}

/** Invitations, by the hash of their token, shared by all gateways. Forgotten 90 days after the last change. */
export interface InvitationStore {
  add(invitation: Invitation): Promise<void>;
  /**
   * Atomic read-modify-write, past every cache. Null when there is none of that hash; `change` may be called more than once, and returns
   * what it was given to leave it alone.
   */
  change(hash: string, change: (latest: Invitation) => Invitation): Promise<Invitation | null>;
  list(): Promise<Invitation[]>;
}

/** What nodes consent to: all that a node said, shared by all gateways and read by the aggregators. */
export interface ConsentStore {
  /** Atomic read-modify-write, past every cache; `change` may be called more than once, and returns what it was given to leave it alone. */
  change(
    nodeId: bigint,
    change: (before: readonly Consent[]) => readonly Consent[],
  ): Promise<{ readonly before: readonly Consent[]; readonly after: readonly Consent[] }>;
  /** Empty: it never said anything. */
  of(nodeId: bigint): Promise<readonly Consent[]>;
  list(): Promise<(readonly [bigint, readonly Consent[]])[]>;
}

/** What happened, in one chain that all gateways write. */
export interface AuditStore {
  /**
   * Durable, together and in order, when it resolves. After STORE_UNAVAILABLE nobody knows whether they are there: written again they may be there
   * twice. AUDIT_DAMAGED when the newest page is not what a gateway with this key wrote.
   */
  append(entries: readonly AuditEntry[]): Promise<void>;
  /** All after number `after`, oldest first. Reads and checks everything before, too: AUDIT_DAMAGED where the chain breaks. */
  read(after: number): AsyncIterable<KeptAuditEntry>;
}

/** Signatures of app bundles, by the bundle's hash; shared by all gateways. They say nothing until whoever trusts a key verifies them. */
export interface AppSignatureStore {
  /** A later signature under the same key id replaces the earlier. */
  add(appHash: string, keyId: string, verification: string): Promise<void>;
  of(appHash: string): Promise<Readonly<Record<string, string>>>;
}

/** Uploads announced and not yet forgotten (an hour after the last change), shared by all gateways. */
export interface UploadStore {
  /**
   * One per node and task; the announcement of another answer replaces the earlier. The same answer again changes nothing: what is
   * kept of it comes back, with its session and verdict.
   */
  announce(upload: UploadRecord): Promise<UploadRecord>;
  find(nodeId: bigint, taskId: string): Promise<UploadRecord | null>;
  ofNode(nodeId: bigint): Promise<UploadRecord[]>;
  /** Remembers how it ended. The answer must be the one last announced for the task, else nothing happens. */
  settle(upload: UploadRecord, verdict: Verdict): Promise<void>;
}
