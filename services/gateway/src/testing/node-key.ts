import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export interface Signed {
  publicKeyPem: Buffer;
  timestamp: string;
  signature: Buffer;
}

/** A SuperNode's key, and what it sends with every call. */
export class NodeKey {
  readonly publicKeyPem: Buffer;
  readonly #privateKey: KeyObject;
  #calls = 0;

  constructor(namedCurve = 'secp384r1') {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve });
    this.publicKeyPem = Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }));
    this.#privateKey = privateKey;
  }

  get privateKeyPem(): string {
    return this.#privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  }

  /** DER. */
  get spki(): Buffer {
    return createPublicKey(this.#privateKey).export({ type: 'spki', format: 'der' });
  }

  /** As a stock node does: no two calls at the same microsecond. */
  sign(at = Date.now()): Signed {
    this.#calls += 1;
    const micros = String(this.#calls % 1000).padStart(3, '0');
    const timestamp = new Date(at).toISOString().replace('Z', `${micros}+00:00`);
    return { publicKeyPem: this.publicKeyPem, timestamp, signature: this.signBytes(Buffer.from(timestamp)) };
  }

  signBytes(message: Buffer): Buffer {
    return sign('sha256', message, this.#privateKey);
  }
}
