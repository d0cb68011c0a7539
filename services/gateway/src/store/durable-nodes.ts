import { createHash } from 'node:crypto';
import { type Bucket, type Bus, BusConflict, type WatchItem } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import type { Logger } from '@aegis/service-kit';
import type { NodeRecord } from '../domain/node.ts';
import type { NodeStore } from './contract.ts';
import { decodeNode, encodeNode } from './node-codec.ts';

const ATTEMPTS = 16;

/**
 * Nodes in the bus. Bucket `nodes`: node id → record; bucket `node-keys`: fingerprint → node id, created once, which is
 * what makes a key unique; bucket `node-subjects`: hash of a certificate's subject → fingerprint, created once and kept. The key is written first: a crash in between leaves a key that points nowhere, and the next
 * registration of that key completes it.
 */
export class DurableNodeStore implements NodeStore {
  readonly #nodes: Bucket;
  readonly #keys: Bucket;
  readonly #subjects: Bucket;
  readonly #log: Logger;
  readonly #records: WatchedBucket<NodeRecord>;
  readonly #owners: WatchedBucket<bigint>;
  readonly #listeners: ((nodeId: bigint, record: NodeRecord | null) => void)[] = [];

  private constructor({ nodes, keys, subjects }: Record<'nodes' | 'keys' | 'subjects', Bucket>, log: Logger) {
    this.#nodes = nodes;
    this.#keys = keys;
    this.#subjects = subjects;
    this.#log = log;
    this.#records = new WatchedBucket(nodes, decodeNode, (key, record) => {
      for (const listener of this.#listeners) listener(BigInt(key), record);
    });
    this.#owners = new WatchedBucket(keys, (value) => BigInt(value.toString()));
  }

  /** Resolves when the cache holds what the store holds. */
  static async open(bus: Bus, log: Logger, signal: AbortSignal): Promise<DurableNodeStore> {
    const buckets = {
      nodes: await bus.bucket('nodes'),
      keys: await bus.bucket('node-keys'),
      subjects: await bus.bucket('node-subjects'),
    };
    const store = new DurableNodeStore(buckets, log);
    await Promise.all([store.#records.follow(signal, log), store.#owners.follow(signal, log)]);
    return store;
  }

  async byKey(fingerprint: string, ask = true): Promise<NodeRecord | null> {
    const nodeId = await this.#owners.get(fingerprint, ask);
    return nodeId === null ? null : this.#records.get(nodeId.toString());
  }

  async latest(nodeId: bigint): Promise<NodeRecord | null> {
    const entry = await this.#nodes.get(nodeId.toString());
    return entry && decodeNode(entry.value);
  }

  register(record: NodeRecord): Promise<NodeRecord> {
    return this.#claim(record, () => false);
  }

  reregister(record: NodeRecord): Promise<NodeRecord> {
    return this.#claim(record, (owner) => owner.activity === 'removed');
  }

  async claimSubject(subject: string, fingerprint: string): Promise<string> {
    const key = createHash('sha256').update(subject).digest('hex');
    return retrying(async () => {
      const entry = await this.#subjects.get(key);
      if (entry) return entry.value.toString();
      await this.#subjects.create(key, Buffer.from(fingerprint));
      return fingerprint;
    });
  }

  async change(nodeId: bigint, change: (record: NodeRecord) => NodeRecord): Promise<NodeRecord | null> {
    const key = nodeId.toString();
    return retrying(async () => {
      const entry = await this.#nodes.get(key);
      if (!entry) return null;
      const before = decodeNode(entry.value);
      const after = change(before);
      if (after === before) return before;
      this.#records.wrote(key, await this.#nodes.update(key, encodeNode(after), entry.revision));
      return after;
    });
  }

  async delete(nodeId: bigint): Promise<void> {
    const record = await this.latest(nodeId);
    if (!record) return;
    const owner = await this.#keys.get(record.fingerprint);
    if (owner?.value.toString() === nodeId.toString()) {
      this.#owners.outdated(record.fingerprint);
      await this.#keys.delete(record.fingerprint);
    }
    this.#records.outdated(nodeId.toString());
    await this.#nodes.delete(nodeId.toString());
  }

  async list(): Promise<NodeRecord[]> {
    const records: NodeRecord[] = [];
    for await (const { value } of this.#nodes.entries()) records.push(decodeNode(value));
    return records;
  }

  onChange(listener: (nodeId: bigint, record: NodeRecord | null) => void): void {
    this.#listeners.push(listener);
  }

  async #claim(record: NodeRecord, mayReplace: (owner: NodeRecord) => boolean): Promise<NodeRecord> {
    const { fingerprint } = record;
    return retrying(async () => {
      const holder = await this.#keys.get(fingerprint);
      if (!holder) {
        this.#owners.wrote(fingerprint, await this.#keys.create(fingerprint, idText(record)));
        return this.#complete(record);
      }
      const ownerId = BigInt(holder.value.toString());
      const owner = await this.latest(ownerId);
      // Somebody is between the two writes, or died there: the record is completed for whoever won the key.
      if (!owner) return this.#complete({ ...record, nodeId: ownerId });
      if (!mayReplace(owner)) return owner;
      this.#owners.wrote(fingerprint, await this.#keys.update(fingerprint, idText(record), holder.revision));
      return this.#complete(record);
    });
  }

  async #complete(record: NodeRecord): Promise<NodeRecord> {
    const key = record.nodeId.toString();
    try {
      this.#records.wrote(key, await this.#nodes.create(key, encodeNode(record)));
      return record;
    } catch (error) {
      if (!(error instanceof BusConflict)) throw error;
      this.#log.debug({ node: record.nodeId }, 'registration completed by somebody else');
      return (await this.latest(record.nodeId)) ?? record;
    }
  }
}

const idText = (record: NodeRecord): Buffer => Buffer.from(record.nodeId.toString());

const retrying = async <T>(attempt: () => Promise<T>): Promise<T> => {
  for (let tries = 0; tries < ATTEMPTS; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof BusConflict)) throw error;
    }
  }
  throw new AegisError('STORE_UNAVAILABLE', 'A node record changes faster than it can be written.');
};

/** A bucket read through a watch. Own writes are never read stale: until the watch has seen them, reads go to the bucket. */
class WatchedBucket<T> {
  readonly #bucket: Bucket;
  readonly #decode: (value: Buffer) => T;
  readonly #onChange: (key: string, value: T | null) => void;
  readonly #cache = new Map<string, T>();
  /** Key → revision the watch has reached. */
  readonly #seen = new Map<string, number>();
  /** Key → revision it must reach before the cache is right again. */
  readonly #behind = new Map<string, number>();
  #isFollowing = false;

  constructor(
    bucket: Bucket,
    decode: (value: Buffer) => T,
    onChange: (key: string, value: T | null) => void = () => {},
  ) {
    this.#bucket = bucket;
    this.#decode = decode;
    this.#onChange = onChange;
  }

  /** `ask`: go to the bucket for what is not at hand. */
  async get(key: string, ask = true): Promise<T | null> {
    const isCurrent = this.#isFollowing && !this.#behind.has(key);
    const cached = isCurrent ? this.#cache.get(key) : undefined;
    if (cached !== undefined) return cached;
    if (isCurrent && !ask) return null;
    const entry = await this.#bucket.get(key);
    return entry && this.#decode(entry.value);
  }

  wrote(key: string, revision: number): void {
    if ((this.#seen.get(key) ?? 0) < revision) this.#behind.set(key, revision);
  }

  /** About to be deleted: the revision of that is not known beforehand. */
  outdated(key: string): void {
    this.#cache.delete(key);
  }

  /** Resolves when the first snapshot is in; goes on until the signal. */
  follow(signal: AbortSignal, log: Logger): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const run = async (): Promise<void> => {
      for await (const item of this.#bucket.watch(undefined, signal)) {
        if (item.type === 'complete') {
          this.#isFollowing = true;
          resolve();
        } else this.#apply(item);
      }
    };
    run()
      .catch((error: unknown) => {
        reject(error);
        if (!signal.aborted) log.error({ err: error }, 'watch of the node registry ended; reading past the cache');
      })
      .finally(() => {
        this.#isFollowing = false;
      });
    return promise;
  }

  #apply(item: Extract<WatchItem, { type: 'entry' }>): void {
    const value = item.value && this.#decode(item.value);
    if (value === null) this.#cache.delete(item.key);
    else this.#cache.set(item.key, value);
    this.#seen.set(item.key, item.revision);
    if (item.revision >= (this.#behind.get(item.key) ?? 0)) this.#behind.delete(item.key);
    if (!item.initial) this.#onChange(item.key, value);
  }
}
