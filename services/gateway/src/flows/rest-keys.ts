import { createHash, createHmac, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto';
import { AegisError } from '@aegis/errors';

/** So long a nonce may be used, once. */
export const NONCE_MS = 120_000;
const RANDOM_BYTES = 16;
const TIME_BYTES = 6;
const MAC_BYTES = 16;
const NONCE = /^[A-Za-z0-9_-]{51}$/;
const SIGNATURE = /^[0-9a-f]{64}$/;

/** What a client of the REST door signs: everything that decides what a request does. */
export interface RequestToSign {
  readonly method: string;
  /** Path with query, exactly as sent. */
  readonly target: string;
  /** SHA-256 of the body, hex. */
  readonly bodyHash: string;
  readonly nonce: string;
}

export const textToSign = ({ method, target, bodyHash, nonce }: RequestToSign): string =>
  `aegis rest v1\n${method}\n${target}\n${bodyHash}\n${nonce}`;

/**
 * The secrets of nodes that sign with HMAC-SHA256, and the nonces they sign over. Nothing of a secret is stored: it is HKDF-SHA256
 * (RFC 5869) of the gateways' key under the salt in the node's record, so that a stolen store forges nothing. Nonces are kept nowhere
 * until they are used: each says until when it is good, under a MAC of the same key, so that any gateway knows another's.
 */
export class RestKeys {
  readonly #key: KeyObject;
  readonly #nonceKey: Buffer;

  /** `key`: 32 bytes. */
  constructor(key: KeyObject) {
    this.#key = key;
    this.#nonceKey = this.#derive('', 'aegis rest nonces');
  }

  /** What the node keeps: 43 characters, whose bytes are the key of its signatures. */
  secretOf(nodeId: bigint, salt: string): string {
    return this.#derive(salt, `aegis rest node ${nodeId}`).toString('base64url');
  }

  /** Constant time in the signature. */
  isSigned(secret: string, request: RequestToSign, signature: string): boolean {
    if (!SIGNATURE.test(signature)) return false;
    const expected = createHmac('sha256', secret).update(textToSign(request)).digest();
    return timingSafeEqual(expected, Buffer.from(signature, 'hex'));
  }

  /** `now`: Unix milliseconds; `random`: 16 bytes. */
  nonce(now: number, random: Buffer): string {
    const body = Buffer.alloc(TIME_BYTES + RANDOM_BYTES);
    body.writeUIntBE(Math.floor(now) + NONCE_MS, 0, TIME_BYTES);
    random.copy(body, TIME_BYTES, 0, RANDOM_BYTES);
    return Buffer.concat([body, this.#mac(body)]).toString('base64url');
  }

  /**
   * When it was made, Unix milliseconds. Throws REST_NONCE for one that no gateway made, or that is too old. Whether it was used is for
   * UsedNonces to say.
   */
  checkNonce(nonce: string, now: number): number {
    if (!NONCE.test(nonce)) throw new AegisError('REST_NONCE', 'It is none of ours.');
    const bytes = Buffer.from(nonce, 'base64url');
    const body = bytes.subarray(0, TIME_BYTES + RANDOM_BYTES);
    // Of the characters too: the last one has bits that the decoder drops, and the same nonce in two spellings would count twice.
    if (bytes.toString('base64url') !== nonce || !timingSafeEqual(this.#mac(body), bytes.subarray(body.byteLength))) {
      throw new AegisError('REST_NONCE', 'It is none of ours.');
    }
    const until = body.readUIntBE(0, TIME_BYTES);
    if (now >= until || until - now > NONCE_MS + 10_000) throw new AegisError('REST_NONCE', 'Its time is over.');
    return until - NONCE_MS;
  }

  #mac(body: Buffer): Buffer {
    return createHmac('sha256', this.#nonceKey).update(body).digest().subarray(0, MAC_BYTES);
  }

  #derive(saltHex: string, purpose: string): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#key, Buffer.from(saltHex, 'hex'), purpose, 32));
  }
}

/** A node without a key of its own is found in the registry by this, which takes the place of a key's fingerprint. */
export const restFingerprint = (nodeId: bigint): string =>
  createHash('sha256').update(`aegis rest node\n${nodeId}`).digest('hex');
