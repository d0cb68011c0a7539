import { createHash, generateKeyPair, type KeyObject, sign } from 'node:crypto';
import { promisify } from 'node:util';

const generate = promisify(generateKeyPair);

export interface Credential {
  timestamp: string;
  signature: Buffer;
}

/** Order of the group of P-384 (FIPS 186-4, D.1.2.4). */
const ORDER = BigInt(
  '0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
);
const SIZE = 48;

/** Flower's timestamp: ISO-8601 UTC with microseconds. No two calls of a node have the same. */
function flowerTimestamp(unixMs: number, micros: number): string {
  return new Date(unixMs).toISOString().replace('Z', `${String(micros % 1000).padStart(3, '0')}+00:00`);
}

/**
 * A node's P-384 key, for load and nothing else: every signature is new and genuine, but all share one nonce, so that each costs two
 * multiplications where an honest one costs more than the whole call costs the server. Anybody who sees two of them has the key. A server
 * cannot tell, and verifies them at its full price.
 */
export class Signer {
  readonly publicKeyPem: Buffer;
  readonly #key: bigint;
  readonly #r: bigint;
  readonly #nonceInverse: bigint;
  #lastMs = 0;
  #inThisMs = 0;

  private constructor(publicKey: KeyObject, privateKey: KeyObject) {
    this.publicKeyPem = Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }) as string);
    this.#key = numberOf(Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url'));
    // one honest signature (r, s): s = (z + r · key) / nonce gives the nonce's inverse
    const first = sign('sha256', Buffer.alloc(0), { key: privateKey, dsaEncoding: 'ieee-p1363' });
    this.#r = numberOf(first.subarray(0, SIZE));
    const s = numberOf(first.subarray(SIZE));
    this.#nonceInverse = (s * inverse(modulo(digest(Buffer.alloc(0)) + this.#r * this.#key))) % ORDER;
  }

  static async create(): Promise<Signer> {
    const { publicKey, privateKey } = await generate('ec', { namedCurve: 'secp384r1' });
    return new Signer(publicKey, privateKey);
  }

  credential(): Credential {
    const now = Date.now();
    this.#inThisMs = now === this.#lastMs ? this.#inThisMs + 1 : 0;
    this.#lastMs = now;
    const timestamp = flowerTimestamp(now, this.#inThisMs);
    const s = (this.#nonceInverse * (digest(Buffer.from(timestamp)) + this.#r * this.#key)) % ORDER;
    return { timestamp, signature: der(this.#r, s) };
  }
}

const digest = (message: Buffer): bigint => numberOf(createHash('sha256').update(message).digest());
const numberOf = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`);
const modulo = (number: bigint): bigint => ((number % ORDER) + ORDER) % ORDER;

/** By Fermat: the order is a prime. */
function inverse(number: bigint): bigint {
  let [base, exponent, result] = [number, ORDER - 2n, 1n];
  for (; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * base) % ORDER;
    base = (base * base) % ORDER;
  }
  return result;
}

const der = (...numbers: readonly bigint[]): Buffer => {
  const integers = numbers.map((number) => {
    const hex = number.toString(16);
    const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
    const padded = (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes;
    return Buffer.concat([Buffer.from([2, padded.length]), padded]);
  });
  const body = Buffer.concat(integers);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
};
