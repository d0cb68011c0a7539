import { createHash } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { parsePublicKey, toPem } from '../domain/public-key.ts';

/** `per-connection`: a signature binds the connection it came over to its key; later calls on it only name that key. */
export type SignatureRule = 'per-call' | 'per-connection';

/** A key in the form it is kept and compared in. */
export interface KeyIdentity {
  readonly pem: string;
  readonly fingerprint: string;
}

export interface PresentedKey {
  readonly publicKeyPem: Buffer;
  /** Identity of the connection of the call. */
  readonly connection: object;
  /** Says that a proxy passed the call on: whose connection it is cannot be told then. */
  isForwarded(): boolean;
}

/** As many nodes as a gateway holds; an entry takes about a kilobyte. */
const REMEMBERED = 20_000;

/**
 * What proven signatures leave behind in memory. Keys that proved themselves need not be parsed again; and under
 * `per-connection` a connection belongs to the first key that proved itself on it, until it closes. That a caller is whom
 * its connection belongs to is TLS's word: nobody else can write into it. It protects nothing when connections end at a
 * proxy that puts calls of several nodes onto one, so whatever shows that is refused.
 */
export class ProvenKeys {
  readonly #rule: SignatureRule;
  /** By their text; the oldest goes first. */
  readonly #identities = new Map<string, KeyIdentity>();
  readonly #bound = new WeakMap<object, { readonly publicKeyPem: Buffer; readonly key: KeyIdentity }>();

  constructor(rule: SignatureRule) {
    this.#rule = rule;
  }

  /** The key that this call need not prove again; null: look at its signature. NODE_CONNECTION when another key presents itself. */
  boundTo({ connection, publicKeyPem }: Pick<PresentedKey, 'connection' | 'publicKeyPem'>): KeyIdentity | null {
    if (this.#rule === 'per-call') return null;
    const bound = this.#bound.get(connection);
    if (bound === undefined) return null;
    if (!bound.publicKeyPem.equals(publicKeyPem)) throw notItsOwn('It is bound to another key');
    return bound.key;
  }

  /** NODE_UNAUTHENTICATED when it is no key. Says nothing about who holds it. */
  identify(publicKeyPem: Buffer): KeyIdentity {
    const text = publicKeyPem.toString('latin1');
    return this.#identities.get(text) ?? identityOf(text);
  }

  /** The caller proved to hold the key. NODE_CONNECTION when its connection cannot be bound to it. */
  proved(presented: PresentedKey, key: KeyIdentity): void {
    const text = presented.publicKeyPem.toString('latin1');
    if (!this.#identities.has(text)) {
      for (const oldest of this.#identities.keys()) {
        if (this.#identities.size < REMEMBERED) break;
        this.#identities.delete(oldest);
      }
      this.#identities.set(text, key);
    }
    if (this.#rule === 'per-call') return;
    if (presented.isForwarded()) throw notItsOwn('A proxy passed the call on');
    // two first calls may have been verified at the same time
    if (this.boundTo(presented) !== null) return;
    this.#bound.set(presented.connection, { publicKeyPem: Buffer.from(presented.publicKeyPem), key });
  }
}

const notItsOwn = (finding: string): AegisError =>
  new AegisError(
    'NODE_CONNECTION',
    `${finding}: where nodes share connections the gateway needs signatures: per-call.`,
  );

export const fingerprintOf = (spki: Buffer): string => createHash('sha256').update(spki).digest('hex');

const identityOf = (text: string): KeyIdentity => {
  try {
    const spki = parsePublicKey(text);
    return { pem: toPem(spki), fingerprint: fingerprintOf(spki) };
  } catch (cause) {
    throw new AegisError('NODE_UNAUTHENTICATED', 'Its public key cannot be used.', cause);
  }
};
