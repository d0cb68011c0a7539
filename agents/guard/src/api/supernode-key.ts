import { verifyEcdsa } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import { checkCredential, type NodeCredential } from '@aegis/flower-wire';
import type { Clock } from '@aegis/service-kit';

/** A stock SuperNode has a heartbeat every 30 s, also while its app runs: one that missed three is gone. */
const GONE_MS = 90_000;

/**
 * The throw-away key of the one SuperNode that the guard serves: the first that registers. Others on this machine reach the loopback port,
 * too; they have no such key. When the guard starts the SuperNode itself, it says when another begins (`forget`). One that is started
 * elsewhere is followed by another when it has taken leave, or has been silent for so long that it must be gone.
 */
export class SuperNodeKey {
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>;
  readonly #onFollowed: (() => void) | null;
  #key: Buffer | null = null;
  /** Monotonic: whoever sets the machine's clock makes no SuperNode gone. */
  #heardAt = 0;
  #hasLeft = false;

  /** @param onFollowed called when another SuperNode takes the place of one; null: none does, but for `forget`. */
  constructor(clock: Pick<Clock, 'now' | 'monotonic'>, onFollowed: (() => void) | null = null) {
    this.#clock = clock;
    this.#onFollowed = onFollowed;
  }

  /** Another SuperNode begins, with a key of its own. */
  forget(): void {
    this.#key = null;
  }

  /** The SuperNode says that it ends. It may still call. */
  leave(): void {
    this.#hasLeft = true;
  }

  async register(credential: NodeCredential): Promise<void> {
    await checkCredential(credential, this.#clock.now(), verifyEcdsa);
    if (this.#key !== null && !this.#key.equals(credential.publicKeyPem)) this.#makeRoom();
    this.#key ??= Buffer.from(credential.publicKeyPem);
    this.#hasLeft = false;
    this.#same(credential);
  }

  async check(credential: NodeCredential): Promise<void> {
    await checkCredential(credential, this.#clock.now(), verifyEcdsa);
    if (this.#key === null) throw new AegisError('NODE_KEY_UNKNOWN');
    this.#same(credential);
  }

  #makeRoom(): void {
    if (this.#onFollowed === null) return;
    if (!this.#hasLeft && this.#clock.monotonic() - this.#heardAt < GONE_MS) {
      // What a stock SuperNode comes back after, and goes on with once the other is gone.
      throw new AegisError('UNAVAILABLE', 'This guard serves another SuperNode, which is still there.');
    }
    this.#key = null;
    this.#onFollowed();
  }

  #same({ publicKeyPem }: NodeCredential): void {
    if (!this.#key?.equals(publicKeyPem)) {
      throw new AegisError('NODE_KEY_UNKNOWN', 'This guard serves one SuperNode, and this is another.');
    }
    this.#heardAt = this.#clock.monotonic();
  }
}
