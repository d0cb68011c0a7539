import { AegisError } from '@aegis/errors';
import type { BodyLease } from '@aegis/flower-wire';

/** Bodies smaller than this cost nothing: only large ones can fill the memory. */
export const LARGE_BODY = 16 * 1024;
/** How long a body has the room for all that it announced; after that only what has arrived counts. */
const RESERVED_MS = 2_000;
/** How long a body waits for room. Stock clients give a push more time than that. */
const WAIT_MS = 20_000;

/** Bodies of strangers that wait: what the network has brought of each is in our memory. */
const MOST_WAITING = 64;
/** Of the room, that one holder may have while it has any: the others find some, however many it sends and however slowly. */
const LARGEST_PART = 1 / 2;

/**
 * How many bytes of large request bodies may be in memory at once. A body that has begun and does not fit now waits, unread: its bytes stay
 * with its sender, and memory stays bounded under any load. Whoever holds least comes first, and among equals who came first.
 * Nobody takes room by announcing, nor holds it for long by sending little.
 */
export class BodyBudget {
  readonly #capacity: number;
  readonly #waitMs: number;
  readonly #queue = new Set<LargeBody>();
  /** Bytes that have arrived, and bytes that have room but have not. */
  #taken = 0;
  #reserved = 0;
  /** Bytes that have ever arrived. */
  #total = 0;
  /** Both, by holder. */
  readonly #held = new Map<string | null, number>();

  constructor(capacity: number, waitMs = WAIT_MS) {
    this.#capacity = capacity;
    this.#waitMs = waitMs;
  }

  bytes(): number {
    return this.#taken;
  }

  /** Of all large bodies so far, whatever door they came through. */
  totalBytes(): number {
    return this.#total;
  }

  /**
   * `holder`: who gets a fair share of the room; null for a stranger. All of those share one part, in which each of their bytes counts and what
   * they announce does not.
   */
  open(announced = 0, holder: string | null = ''): BodyLease {
    return new LargeBody(this, announced, holder);
  }

  /** Takes the room of a body that begins; a promise when it must wait: UNAVAILABLE when none becomes free. */
  enter(body: LargeBody): Promise<void> | undefined {
    if (this.#goesFirst(body) && this.#admit(body)) return;
    if (body.holder === null && this.#strangersWaiting >= MOST_WAITING) throw tooMuch(body);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const late = setTimeout(() => body.release(tooMuch(body)), this.#waitMs);
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

  change(holder: string | null, taken: number, reserved: number): void {
    this.#taken += taken;
    this.#reserved += reserved;
    this.#total += Math.max(taken, 0);
    const held = this.#heldBy(holder) + taken + reserved;
    if (held > 0) this.#held.set(holder, held);
    else this.#held.delete(holder);
    if (taken + reserved >= 0) return;
    for (let body = this.#first(); body && this.#admit(body); body = this.#first()) {
      this.#queue.delete(body);
      body.waiting?.start();
    }
  }

  /** Of bytes beyond what a body announced. */
  fits({ holder }: LargeBody, own: number, more: number): boolean {
    if (holder === null && this.#heldBy(null) + more > this.#capacity * LARGEST_PART) return false;
    return this.#taken === own || this.#taken + more <= this.#capacity;
  }

  get #strangersWaiting(): number {
    let count = 0;
    for (const { holder } of this.#queue) if (holder === null) count += 1;
    return count;
  }

  #heldBy(holder: string | null): number {
    return this.#held.get(holder) ?? 0;
  }

  /** Whether its holder may have more; what is too large for any part may come alone. */
  #mayHave({ holder, size }: LargeBody): boolean {
    const held = this.#heldBy(holder);
    return held === 0 || held + size <= this.#capacity * LARGEST_PART;
  }

  /** Of those that wait. */
  #first(): LargeBody | undefined {
    let first: LargeBody | undefined;
    for (const body of this.#queue) {
      if (!this.#mayHave(body)) continue;
      if (first === undefined || this.#heldBy(body.holder) < this.#heldBy(first.holder)) first = body;
    }
    return first;
  }

  #goesFirst(body: LargeBody): boolean {
    if (!this.#mayHave(body)) return false;
    const first = this.#first();
    return first === undefined || this.#heldBy(body.holder) < this.#heldBy(first.holder);
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
  readonly holder: string | null;
  waiting: { start(): void; refuse(reason: AegisError): void } | undefined;
  readonly #budget: BodyBudget;
  readonly #announced: number;
  #arrived = 0;
  /** What the budget counts of it. */
  #taken = 0;
  #reserved = 0;
  #state: 'small' | 'waiting' | 'started' | 'over' = 'small';
  #expiry: NodeJS.Timeout | undefined;

  constructor(budget: BodyBudget, announced: number, holder: string | null) {
    this.#budget = budget;
    this.#announced = holder === null ? 0 : announced;
    this.holder = holder;
  }

  get size(): number {
    return Math.max(this.#announced, this.#arrived);
  }

  add(bytes: number): Promise<void> | undefined {
    this.#arrived += bytes;
    if (this.#state === 'started') this.#take();
    if (this.#state !== 'small' || (this.holder !== null && this.#arrived < LARGE_BODY)) return;
    this.#state = 'waiting';
    return this.#budget.enter(this);
  }

  /** It has room. */
  start(reservedMs: number): void {
    this.#state = 'started';
    this.#taken = this.#arrived;
    this.#reserved = this.size - this.#arrived;
    this.#budget.change(this.holder, this.#taken, this.#reserved);
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
    this.#budget.change(this.holder, -taken, 0);
  }

  #take(): void {
    const more = this.#arrived - this.#taken;
    const reserved = Math.min(more, this.#reserved);
    if (more > reserved && !this.#budget.fits(this, this.#taken, more)) {
      this.release();
      throw tooMuch(this);
    }
    this.#taken += more;
    this.#reserved -= reserved;
    this.#budget.change(this.holder, more, -reserved);
  }

  #unreserve(): void {
    clearTimeout(this.#expiry);
    const reserved = this.#reserved;
    this.#reserved = 0;
    if (reserved > 0) this.#budget.change(this.holder, 0, -reserved);
  }
}

const TOO_MUCH = 'Too much is being uploaded at once.';
const strangersTooMuch = new AegisError('RATE_LIMIT', TOO_MUCH);
const tooMuch = ({ holder }: LargeBody): AegisError =>
  holder === null ? strangersTooMuch : new AegisError('UNAVAILABLE', TOO_MUCH);
/** One for all: nobody reads it. */
const callerGone = new AegisError('UNAVAILABLE', 'The caller is gone.');
