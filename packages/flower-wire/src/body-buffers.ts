/** A chunk of a stock client, 5 MiB, with what stands around it. */
const BUFFER_BYTES = 6 * 2 ** 20;
/** A shorter body gets memory of its own: it would hold a whole buffer, and be counted as what it is. */
const LEAST_BYTES = 2 * 2 ** 20;
/** Kept for the next bodies; a burst may use more. */
const KEPT = 4;

/**
 * Buffers for large bodies, used again. A fresh one for each would cost a page fault for every 4 KiB of it, and the collector's
 * attention: V8 takes the growth outside of its heap for a reason to collect all of it.
 */
class BodyBuffers {
  readonly #free: Buffer[] = [];

  /** Room for `length` bytes with anything in it; more than that where a buffer was at hand. */
  take(length: number): Buffer {
    if (length < LEAST_BYTES || length > BUFFER_BYTES) return Buffer.allocUnsafeSlow(length);
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
  }

  /**
   * For a body that `readBody` gave. Nobody may read it afterwards: only who knows that all work on it has ended may give it
   * back. A body that is not given back is the collector's.
   */
  giveBack(body: Buffer): void {
    const { buffer } = body;
    if (buffer.byteLength === BUFFER_BYTES && this.#free.length < KEPT) this.#free.push(Buffer.from(buffer));
  }
}

/** One for the process: every door takes the same kind of body. */
export const bodyBuffers = new BodyBuffers();
