import { type Bucket, type Bus, BusConflict } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import type { AppSignatureStore } from './contract.ts';

const ATTEMPTS = 16;

/** One document per bundle in the bus: key id → verification. */
export class DurableAppSignatureStore implements AppSignatureStore {
  readonly #bucket: Bucket;

  private constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  static async open(bus: Bus): Promise<DurableAppSignatureStore> {
    return new DurableAppSignatureStore(await bus.bucket('app-signatures'));
  }

  async add(appHash: string, keyId: string, verification: string): Promise<void> {
    for (let tries = 0; tries < ATTEMPTS; tries += 1) {
      const entry = await this.#bucket.get(appHash);
      const signatures = { ...(entry ? decode(entry.value) : {}), [keyId]: verification };
      try {
        const bytes = Buffer.from(JSON.stringify(signatures));
        if (entry) await this.#bucket.update(appHash, bytes, entry.revision);
        else await this.#bucket.create(appHash, bytes);
        return;
      } catch (error) {
        if (!(error instanceof BusConflict)) throw error;
      }
    }
    throw new AegisError('STORE_UNAVAILABLE', 'The signatures of an app change faster than they can be written.');
  }

  async of(appHash: string): Promise<Readonly<Record<string, string>>> {
    const entry = await this.#bucket.get(appHash);
    return entry ? decode(entry.value) : {};
  }
}

const decode = (bytes: Buffer): Record<string, string> => JSON.parse(bytes.toString());
