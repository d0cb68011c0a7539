import { verifyEcdsa } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import { checkCredential, type NodeCredential } from '@aegis/flower-wire';

/**
 * The throw-away key of the SuperNode that the guard started: the first one that registers after its start. Others on this
 * machine reach the loopback port, too; they have no such key.
 */
export class SuperNodeKey {
  readonly #now: () => number;
  #key: Buffer | null = null;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Another SuperNode begins, with a key of its own. */
  forget(): void {
    this.#key = null;
  }

  async register(credential: NodeCredential): Promise<void> {
    await checkCredential(credential, this.#now(), verifyEcdsa);
    this.#key ??= Buffer.from(credential.publicKeyPem);
    this.#same(credential);
  }

  async check(credential: NodeCredential): Promise<void> {
    await checkCredential(credential, this.#now(), verifyEcdsa);
    if (this.#key === null) throw new AegisError('NODE_KEY_UNKNOWN');
    this.#same(credential);
  }

  #same({ publicKeyPem }: NodeCredential): void {
    if (this.#key?.equals(publicKeyPem)) return;
    throw new AegisError('NODE_KEY_UNKNOWN', 'This guard serves the SuperNode that it started, and no other.');
  }
}
