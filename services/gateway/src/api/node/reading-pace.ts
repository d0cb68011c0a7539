import type { Clock } from '@aegis/service-kit';
import { nodeLimits } from './limits.ts';
import type { Outgoing } from './outgoing.ts';

/** Decides when the next frame of a stream is read. Whoever is not read from is slowed down by HTTP/2 itself. */
export class ReadingPace {
  readonly #clock: Clock;
  readonly #outgoing: Outgoing;
  readonly #gone: AbortSignal;
  #underWay = 0;
  readonly #waiting = new Set<() => void>();
  #tokens: number = nodeLimits.burst;
  #filledAt: number;

  constructor(clock: Clock, outgoing: Outgoing, gone: AbortSignal) {
    this.#clock = clock;
    this.#outgoing = outgoing;
    this.#gone = gone;
    this.#filledAt = clock.monotonic();
    gone.addEventListener('abort', () => this.#wake(), { once: true });
  }

  /** A frame is being dealt with until the work settles. */
  during(work: Promise<void>): void {
    this.#underWay += 1;
    void work.finally(() => {
      this.#underWay -= 1;
      this.#wake();
    });
  }

  /** Resolves when nothing is being dealt with. */
  async idle(): Promise<void> {
    while (this.#underWay > 0) await this.#someDone();
  }

  count(): void {
    this.#tokens -= 1;
  }

  /** Null: read on at once. Else resolves when it is time to read on, or the client has gone. */
  pause(): Promise<void> | null {
    return this.#reason() === null ? null : this.#untilFree();
  }

  async #untilFree(): Promise<void> {
    for (let wait = this.#reason(); wait !== null && !this.#gone.aborted; wait = this.#reason()) await wait();
  }

  #reason(): (() => Promise<void>) | null {
    if (this.#underWay >= nodeLimits.atOnce) return () => this.#someDone();
    if (this.#outgoing.isOpen && this.#outgoing.isBlocked) return () => this.#outgoing.unblocked();
    if (this.#tokens <= 0) return () => this.#refill();
    return null;
  }

  #someDone(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    return promise;
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  async #refill(): Promise<void> {
    const earned = ((this.#clock.monotonic() - this.#filledAt) / 1000) * nodeLimits.framesPerSecond;
    this.#tokens = Math.min(this.#tokens + earned, nodeLimits.burst);
    this.#filledAt = this.#clock.monotonic();
    if (this.#tokens > 0) return;
    const ms = (1 - this.#tokens) * (1000 / nodeLimits.framesPerSecond);
    await this.#clock.sleep(Math.ceil(ms), this.#gone).catch(() => {});
  }
}
