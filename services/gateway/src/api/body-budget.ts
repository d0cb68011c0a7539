import { AegisError } from '@aegis/errors';
import type { BodyLease } from '@aegis/flower-wire';

/** Bodies smaller than this cost nothing: only large ones can fill the memory. */
export const LARGE_BODY = 16 * 1024;
/** How long a body has the room for all that it announced; after that only what has arrived counts. */
const RESERVED_MS = 2_000;
/** How long a body waits for room. Stock clients give a push more time than that. */
const WAIT_MS = 20_000;

/**
 * How many bytes of large request bodies may be in memory at once. A body that has begun and does not fit now waits, unread, in
 * the order they came: its bytes stay with its sender, and memory stays bounded under any load. Nobody takes room by
 * announcing, nor holds it for long by sending little.
 */
export class BodyBudget {
  readonly #capacity: number;
  readonly #waitMs: number;
  readonly #queue = new Set<LargeBody>();
  /** Bytes that have arrived, and bytes that have room but have not. */
  #taken = 0;
  #reserved = 0;

  constructor(capacity: number, waitMs = WAIT_MS) {
    this.#capacity = capacity;
    this.#waitMs = waitMs;
  }

  bytes(): number {
    return this.#taken;
  }

  open(announced = 0): BodyLease {
    return new LargeBody(this, announced);
  }

  /** Takes the room of a body that begins; a promise when it must wait: UNAVAILABLE when none becomes free. */
  enter(body: LargeBody): Promise<void> | undefined {
    if (this.#queue.size === 0 && this.#admit(body)) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const late = setTimeout(() => body.release(tooMuch()), this.#waitMs);
    body.waiting = {
      start: resolve,
      refuse: (reason) => {
        clearTimeout(late);
        reject(reason);
      },
    };
    promise.finally(() => clearTimeout(late)).catch(() => {});
    this.#queue.add(body);
    return promise;
  }

  leave(body: LargeBody): void {
    this.#queue.delete(body);
  }

  change(taken: number, reserved: number): void {
    this.#taken += taken;
    this.#reserved += reserved;
    if (taken + reserved >= 0) return;
    for (const body of this.#queue) {
      if (!this.#admit(body)) return;
      this.#queue.delete(body);
      body.waiting?.start();
    }
  }

  /** Of bytes beyond what a body announced. */
  fits(own: number, more: number): boolean {
    return this.#taken === own || this.#taken + more <= this.#capacity;
  }

  /** One body larger than the whole budget is taken alone; it must not be refused for ever. */
  #admit(body: LargeBody): boolean {
    const used = this.#taken + this.#reserved;
    if (used > 0 && used + body.size > this.#capacity) return false;
    body.start(RESERVED_MS);
    return true;
  }
}

class LargeBody implements BodyLease {
  waiting: { start(): void; refuse(reason: AegisError): void } | undefined;
  readonly #budget: BodyBudget;
  readonly #announced: number;
  #arrived = 0;
  /** What the budget counts of it. */
  #taken = 0;
  #reserved = 0;
  #state: 'small' | 'waiting' | 'started' | 'over' = 'small';
  #expiry: NodeJS.Timeout | undefined;

  constructor(budget: BodyBudget, announced: number) {
    this.#budget = budget;
    this.#announced = announced;
  }

  get size(): number {
    return Math.max(this.#announced, this.#arrived);
  }

  add(bytes: number): Promise<void> | undefined {
    this.#arrived += bytes;
    if (this.#state === 'started') this.#take();
    if (this.#state !== 'small' || this.#arrived < LARGE_BODY) return;
    this.#state = 'waiting';
    return this.#budget.enter(this);
  }

  /** It has room. */
  start(reservedMs: number): void {
    this.#state = 'started';
    this.#taken = this.#arrived;
    this.#reserved = this.size - this.#arrived;
    this.#budget.change(this.#taken, this.#reserved);
    if (this.#reserved > 0) this.#expiry = setTimeout(() => this.#unreserve(), reservedMs);
  }

  release(reason = callerGone): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#budget.leave(this);
    this.waiting?.refuse(reason);
    this.#unreserve();
    const taken = this.#taken;
    this.#taken = 0;
    this.#budget.change(-taken, 0);
  }

  #take(): void {
    const more = this.#arrived - this.#taken;
    const reserved = Math.min(more, this.#reserved);
    if (more > reserved && !this.#budget.fits(this.#taken, more)) {
      this.release();
      throw tooMuch();
    }
    this.#taken += more;
    this.#reserved -= reserved;
    this.#budget.change(more, -reserved);
  }

  #unreserve(): void {
    clearTimeout(this.#expiry);
    const reserved = this.#reserved;
    this.#reserved = 0;
    if (reserved > 0) this.#budget.change(0, -reserved);
  }
}

const tooMuch = (): AegisError => new AegisError('UNAVAILABLE', 'Too much is being uploaded at once.');
/** One for all: nobody reads it. */
const callerGone = new AegisError('UNAVAILABLE', 'The caller is gone.');
