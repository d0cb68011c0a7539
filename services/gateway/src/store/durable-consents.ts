import { type Bucket, type Bus, BusConflict } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import type { Consent } from '../domain/consent.ts';
import type { ConsentStore } from './contract.ts';

const ATTEMPTS = 16;

/** One document for each node in the bus; aggregators read it when they select (their peers/nats/consents.ts). */
export class DurableConsentStore implements ConsentStore {
  readonly #bucket: Bucket;

  private constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  static async open(bus: Bus): Promise<DurableConsentStore> {
    return new DurableConsentStore(await bus.bucket('consents'));
  }

  async change(nodeId: bigint, change: (before: readonly Consent[]) => readonly Consent[]) {
    const key = nodeId.toString();
    for (let tries = 0; tries < ATTEMPTS; tries += 1) {
      const entry = await this.#bucket.get(key);
      const before = entry === null ? [] : decode(entry.value);
      const after = change(before);
      if (after === before) return { before, after };
      try {
        await (entry === null
          ? this.#bucket.create(key, encode(after))
          : this.#bucket.update(key, encode(after), entry.revision));
        return { before, after };
      } catch (error) {
        if (!(error instanceof BusConflict)) throw error;
      }
    }
    throw new AegisError('STORE_UNAVAILABLE', 'A consent changes faster than it can be written.');
  }

  async of(nodeId: bigint): Promise<readonly Consent[]> {
    const entry = await this.#bucket.get(nodeId.toString());
    return entry === null ? [] : decode(entry.value);
  }

  async list(): Promise<(readonly [bigint, readonly Consent[]])[]> {
    const all: (readonly [bigint, readonly Consent[]])[] = [];
    for await (const { key, value } of this.#bucket.entries()) all.push([BigInt(key), decode(value)]);
    return all;
  }
}

const encode = (consents: readonly Consent[]): Buffer => Buffer.from(JSON.stringify({ consents }));

const decode = (bytes: Buffer): readonly Consent[] => {
  try {
    return (JSON.parse(bytes.toString()) as { consents: Consent[] }).consents;
  } catch (cause) {
    throw new AegisError('INTERNAL', 'A consent cannot be read.', cause);
  }
};
