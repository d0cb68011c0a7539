import type { BodyLease } from '@aegis/flower-wire';

/** Messages smaller than this wait for nobody. */
const SMALL = 64 * 1024;

/**
 * Room for messages that are whole models. Its bytes are taken before the first of them is read, in turn: a client of this
 * kind cannot try again, so it waits. A message larger than all the room is taken alone.
 */
export class Turns {
  readonly #capacity: number;
  readonly #queue: { bytes: number; grant: () => void }[] = [];
  #taken = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** Its `add` says whether to wait, and until when. */
  take(bytes: number): BodyLease {
    if (bytes < SMALL) return { add: () => undefined, release: () => {} };
    const { promise, resolve } = Promise.withResolvers<void>();
    let state: 'waiting' | 'granted' | 'over' = 'waiting';
    const turn = {
      bytes,
      grant: () => {
        state = 'granted';
        this.#taken += bytes;
        resolve();
      },
    };
    this.#queue.push(turn);
    this.#next();
    return {
      add: () => (state === 'waiting' ? promise : undefined),
      release: () => {
        if (state === 'waiting') this.#queue.splice(this.#queue.indexOf(turn), 1);
        if (state === 'granted') this.#taken -= bytes;
        state = 'over';
        this.#next();
      },
    };
  }

  #next(): void {
    for (let first = this.#queue[0]; first; first = this.#queue[0]) {
      if (this.#taken > 0 && this.#taken + first.bytes > this.#capacity) return;
      this.#queue.shift();
      first.grant();
    }
  }
}
