import type { AuditEntry, KeptAuditEntry } from '../domain/audit.ts';
import type { Consent } from '../domain/consent.ts';
import type { Invitation } from '../domain/invitation.ts';
import type { NodeRecord } from '../domain/node.ts';
import type { UploadRecord, Verdict } from '../domain/upload.ts';
import type {
  AppSignatureStore,
  AuditStore,
  ConsentStore,
  InvitationStore,
  NodeStore,
  UploadStore,
} from './contract.ts';

/** For tests, and for reading what the contract means. Forgets everything when the process ends. */
export class MemoryNodeStore implements NodeStore {
  readonly #nodes = new Map<bigint, NodeRecord>();
  readonly #keys = new Map<string, bigint>();
  readonly #subjects = new Map<string, string>();
  readonly #listeners: ((nodeId: bigint, record: NodeRecord | null) => void)[] = [];

  async byKey(fingerprint: string): Promise<NodeRecord | null> {
    return this.#owner(fingerprint) ?? null;
  }

  async latest(nodeId: bigint): Promise<NodeRecord | null> {
    return this.#nodes.get(nodeId) ?? null;
  }

  async register(record: NodeRecord): Promise<NodeRecord> {
    return this.#owner(record.fingerprint) ?? this.#write(record);
  }

  async reregister(record: NodeRecord): Promise<NodeRecord> {
    const owner = this.#owner(record.fingerprint);
    return owner && owner.activity !== 'removed' ? owner : this.#write(record);
  }

  async claimSubject(subject: string, fingerprint: string): Promise<string> {
    const owner = this.#subjects.get(subject) ?? fingerprint;
    this.#subjects.set(subject, owner);
    return owner;
  }

  async change(nodeId: bigint, change: (record: NodeRecord) => NodeRecord): Promise<NodeRecord | null> {
    const record = this.#nodes.get(nodeId);
    return record ? this.#write(change(record)) : null;
  }

  async delete(nodeId: bigint): Promise<void> {
    const record = this.#nodes.get(nodeId);
    if (!record) return;
    if (this.#keys.get(record.fingerprint) === nodeId) this.#keys.delete(record.fingerprint);
    this.#nodes.delete(nodeId);
    this.#tell(nodeId, null);
  }

  async list(): Promise<NodeRecord[]> {
    return [...this.#nodes.values()];
  }

  onChange(listener: (nodeId: bigint, record: NodeRecord | null) => void): void {
    this.#listeners.push(listener);
  }

  #owner(fingerprint: string): NodeRecord | undefined {
    const nodeId = this.#keys.get(fingerprint);
    return nodeId === undefined ? undefined : this.#nodes.get(nodeId);
  }

  #write(record: NodeRecord): NodeRecord {
    const isNew = !this.#nodes.has(record.nodeId);
    this.#nodes.set(record.nodeId, record);
    if (isNew) this.#keys.set(record.fingerprint, record.nodeId);
    this.#tell(record.nodeId, record);
    return record;
  }

  #tell(nodeId: bigint, record: NodeRecord | null): void {
    for (const listener of this.#listeners) listener(nodeId, record);
  }
}

export class MemoryUploadStore implements UploadStore {
  readonly #uploads = new Map<bigint, Map<string, UploadRecord>>();

  async announce(upload: UploadRecord): Promise<UploadRecord> {
    const earlier = await this.find(upload.task.nodeId, upload.task.taskId);
    return earlier?.replyId === upload.replyId ? earlier : this.#keep(upload);
  }

  async find(nodeId: bigint, taskId: string): Promise<UploadRecord | null> {
    return this.#uploads.get(nodeId)?.get(taskId) ?? null;
  }

  async ofNode(nodeId: bigint): Promise<UploadRecord[]> {
    return [...(this.#uploads.get(nodeId)?.values() ?? [])];
  }

  async settle(upload: UploadRecord, verdict: Verdict): Promise<void> {
    const last = await this.find(upload.task.nodeId, upload.task.taskId);
    if (last?.replyId === upload.replyId) this.#keep({ ...upload, verdict });
  }

  #keep(upload: UploadRecord): UploadRecord {
    const { nodeId, taskId } = upload.task;
    const ofNode = this.#uploads.get(nodeId) ?? new Map<string, UploadRecord>();
    this.#uploads.set(nodeId, ofNode.set(taskId, upload));
    return upload;
  }
}

export class MemoryInvitationStore implements InvitationStore {
  readonly #invitations = new Map<string, Invitation>();

  async add(invitation: Invitation): Promise<void> {
    this.#invitations.set(invitation.hash, invitation);
  }

  async change(hash: string, change: (latest: Invitation) => Invitation): Promise<Invitation | null> {
    const before = this.#invitations.get(hash);
    if (before === undefined) return null;
    const after = change(before);
    this.#invitations.set(hash, after);
    return after;
  }

  async list(): Promise<Invitation[]> {
    return [...this.#invitations.values()];
  }
}

export class MemoryAppSignatureStore implements AppSignatureStore {
  readonly #signatures = new Map<string, Record<string, string>>();

  async add(appHash: string, keyId: string, verification: string): Promise<void> {
    this.#signatures.set(appHash, { ...this.#signatures.get(appHash), [keyId]: verification });
  }

  async of(appHash: string): Promise<Readonly<Record<string, string>>> {
    return this.#signatures.get(appHash) ?? {};
  }
}

/** What was noted, in order; no chain. */
export class MemoryAuditStore implements AuditStore {
  readonly entries: AuditEntry[] = [];

  async append(entries: readonly AuditEntry[]): Promise<void> {
    this.entries.push(...entries);
  }

  async *read(after: number): AsyncGenerator<KeptAuditEntry> {
    for (const [at, entry] of this.entries.entries()) {
      if (at >= after) yield { ...entry, sequence: at + 1, hash: '' };
    }
  }
}

export class MemoryConsentStore implements ConsentStore {
  readonly #consents = new Map<bigint, readonly Consent[]>();

  async change(nodeId: bigint, change: (before: readonly Consent[]) => readonly Consent[]) {
    const before = this.#consents.get(nodeId) ?? [];
    const after = change(before);
    if (after !== before) this.#consents.set(nodeId, after);
    return { before, after };
  }

  async of(nodeId: bigint): Promise<readonly Consent[]> {
    return this.#consents.get(nodeId) ?? [];
  }

  async list(): Promise<(readonly [bigint, readonly Consent[]])[]> {
    return [...this.#consents];
  }
}
