import { createHmac, type KeyObject } from 'node:crypto';
import type { NodeRecord } from '../domain/node.ts';

const KEY_HEX = 8;
const NAME_HEX = 32;

/**
 * Pseudonyms of the units that privacy budgets belong to: HMAC-SHA256 of a node's key, under a key that only gateways have. Whoever keeps
 * the ledger can tell units apart and cannot tell who they are. A node is known by the subject of its certificate, else by its own key, never
 * by its id: registered anew it is the same unit, with what it has spent.
 *
 * The name begins with that of the gateways' key: two gateways with different keys, or a key that was replaced, show at once instead
 * of giving every unit a second budget.
 */
export class UnitNames {
  readonly #key: KeyObject;
  readonly #keyName: string;

  /** `key`: 32 bytes. */
  constructor(key: KeyObject) {
    this.#key = key;
    this.#keyName = this.#hex('aegis unit key').slice(0, KEY_HEX);
  }

  /** Null for a client without a key, and without a certificate: whoever comes back without one cannot be recognised. */
  of({ fingerprint, subject, restSalt }: Pick<NodeRecord, 'fingerprint' | 'subject' | 'restSalt'>): string | null {
    if (fingerprint === '' || (restSalt !== undefined && subject === '')) return null;
    return this.#name(subject === '' ? `node\n${fingerprint}` : `subject\n${subject}`);
  }

  /** Of the user whose node it is; null where its certificate names none. Nobody can name a user but the authority that certifies nodes. */
  ofUser({ user, subject }: Pick<NodeRecord, 'user' | 'subject'>): string | null {
    if (user === '' || subject === '') return null;
    return this.#name(`user\n${user}`);
  }

  #name(who: string): string {
    return `${this.#keyName}-${this.#hex(`aegis unit ${who}`).slice(0, NAME_HEX)}`;
  }

  #hex(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('hex');
  }
}
