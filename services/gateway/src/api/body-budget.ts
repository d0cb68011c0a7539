import { AegisError } from '@aegis/errors';
import type { BodyLease } from '@aegis/flower-wire';

/** Bodies smaller than this cost nothing: only large ones can fill the memory. */
export const LARGE_BODY = 64 * 1024;

/**
 * How many bytes of large request bodies may be in memory at once. Whoever comes on top is told to come back: clients
 * retry by themselves, and memory stays bounded under any load. Only what has arrived counts, so nobody takes room by
 * announcing.
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

  /** Throws UNAVAILABLE when a body of the announced size has no room now; its bytes are counted as they come. */
  open(announced = 0): BodyLease {
    if (announced >= LARGE_BODY) this.#check(this.#taken, announced);
    let arrived = 0;
    let charged = 0;
    let isOpen = true;
    const release = (): void => {
      this.#taken -= charged;
      charged = 0;
      isOpen = false;
    };
    return {
      add: (bytes) => {
        arrived += bytes;
        if (!isOpen || arrived < LARGE_BODY) return;
        try {
          this.#check(this.#taken - charged, arrived);
        } catch (caught) {
          release();
          throw caught;
        }
        this.#taken += arrived - charged;
        charged = arrived;
      },
      release,
    };
  }

  /** One body larger than the whole budget is taken alone; it must not be refused for ever. */
  #check(others: number, own: number): void {
    if (others > 0 && others + own > this.#capacity) {
      throw new AegisError('UNAVAILABLE', 'Too much is being uploaded at once.');
    }
  }
}
