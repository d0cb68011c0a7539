import { generateKeyPair, type KeyObject, sign } from 'node:crypto';
import { promisify } from 'node:util';

const generate = promisify(generateKeyPair);

export interface Credential {
  timestamp: string;
  signature: Buffer;
}

/** Flower's timestamp: ISO-8601 UTC with microseconds. The extra digits make signatures of one millisecond differ. */
export function flowerTimestamp(unixMs: number, micros: number): string {
  return new Date(unixMs).toISOString().replace('Z', `${String(micros % 1000).padStart(3, '0')}+00:00`);
}

/** A node's P-384 key. Servers accept a timestamp for 305 s; signatures made ahead are used for at most 120 s. */
export class Signer {
  static readonly #youngMs = 120_000;
  readonly publicKeyPem: Buffer;
  readonly #privateKey: KeyObject;
  readonly #ahead: number;
  #stock: Credential[] = [];
  #madeAt = 0;
  #next = 0;

  private constructor(publicKey: KeyObject, privateKey: KeyObject, ahead: number) {
    this.publicKeyPem = Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }) as string);
    this.#privateKey = privateKey;
    this.#ahead = ahead;
  }

  static async create(ahead: number): Promise<Signer> {
    const { publicKey, privateKey } = await generate('ec', { namedCurve: 'secp384r1' });
    return new Signer(publicKey, privateKey, ahead);
  }

  credential(): Credential {
    if (this.#ahead === 0) return this.#make();
    if (Date.now() - this.#madeAt > Signer.#youngMs) this.prepare();
    const credential = this.#stock[this.#next % this.#ahead] as Credential;
    this.#next += 1;
    return credential;
  }

  /** Makes the signatures that later calls take in turn. */
  prepare(): void {
    this.#madeAt = Date.now();
    this.#stock = Array.from({ length: this.#ahead }, () => this.#make());
  }

  #make(): Credential {
    this.#next += 1;
    const timestamp = flowerTimestamp(Date.now(), this.#next);
    return { timestamp, signature: sign('sha256', Buffer.from(timestamp), this.#privateKey) };
  }
}
