import type { Clock } from '@aegis/service-kit';

/** The SuperNode's one pull that waits for work. */
export class HeldPull {
  readonly #clock: Clock;
  #wake: (() => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** There is something new, or nothing will come any more. */
  wake(): void {
    this.#wake?.();
  }

  /** Resolves at news, when `ms` are over, and when the caller goes. A second wait ends the first: a SuperNode has one loop. */
  async wait(ms: number, caller: AbortSignal): Promise<void> {
    this.#wake?.();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = this.#clock.schedule(ms, resolve);
    caller.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    timer.cancel();
    if (this.#wake === resolve) this.#wake = null;
  }
}
