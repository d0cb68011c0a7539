import type { Clock } from '@aegis/service-kit';

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/**
 * A clock that stands still until told to move. Timers run in the order of their time, and see that time as now. Its two times
 * begin at different numbers, so that one taken for the other is noticed.
 */
export class FakeClock implements Clock {
  #now = 1_000;
  #wallAhead: number;
  #order = 0;
  readonly #timers = new Set<Timer>();

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#wallAhead = start - this.#now;
  }

  now(): number {
    return this.#now + this.#wallAhead;
  }

  monotonic(): number {
    return this.#now;
  }

  /** Somebody sets the clock of the machine, or wakes it up: no timer is nearer for that. */
  stepWall(ms: number): void {
    this.#wallAhead += ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        timer.cancel();
        reject(signal?.reason);
      };
      const timer = this.schedule(ms, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  schedule(ms: number, fn: () => void): { cancel(): void } {
    const timer = { at: this.#now + Math.max(ms, 0), order: this.#order++, run: fn };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  /** Timers not yet run; a test that ends with some may have leaked them. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves on, running what falls due, and lets promises settle before and after each timer. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (let due = this.#next(end); due !== undefined; due = this.#next(end)) {
      this.#timers.delete(due);
      this.#now = due.at;
      due.run();
      await settle();
    }
    this.#now = end;
  }

  #next(end: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at > end) continue;
      if (first === undefined || timer.at < first.at || (timer.at === first.at && timer.order < first.order))
        first = timer;
    }
    return first;
  }
}

// One turn of the real event loop: every promise chain that waits for nothing outside has run by then.
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
