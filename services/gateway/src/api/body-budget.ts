import { AegisError } from '@aegis/errors';

/** Bodies smaller than this cost nothing: only large ones can fill the memory. */
export const LARGE_BODY = 64 * 1024;

/**
 * How many bytes of large request bodies may be in memory at once. Whoever comes on top is told to come back, before a byte of
 * its body is read: clients retry by themselves, and memory stays bounded under any load.
 */
export class BodyBudget {
  readonly #capacity: number;
  #taken = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  bytes(): number {
    return this.#taken;
  }

  /** Throws UNAVAILABLE when there is no room. Call what it returns exactly when the body is gone; twice is fine. */
  take(bytes: number): () => void {
    if (bytes < LARGE_BODY) return () => {};
    // One body larger than the whole budget is taken alone; it must not be refused for ever.
    if (this.#taken > 0 && this.#taken + bytes > this.#capacity) {
      throw new AegisError('UNAVAILABLE', 'Too much is being uploaded at once.');
    }
    this.#taken += bytes;
    let held = true;
    return () => {
      if (held) this.#taken -= bytes;
      held = false;
    };
  }
}
