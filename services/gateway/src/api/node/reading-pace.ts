import type { Clock } from '@aegis/service-kit';
import { TokenBucket } from '../../domain/token-bucket.ts';
import { nodeLimits } from './limits.ts';
import type { Outgoing } from './outgoing.ts';

/** Decides when the next frame of a stream is read. Whoever is not read from is slowed down by HTTP/2 itself. */
export class ReadingPace {
  readonly #clock: Clock;
  readonly #outgoing: Outgoing;
  readonly #gone: AbortSignal;
  #underWay = 0;
  readonly #waiting = new Set<() => void>();
  readonly #frames: TokenBucket;

  constructor(clock: Clock, outgoing: Outgoing, gone: AbortSignal) {
    this.#clock = clock;
    this.#outgoing = outgoing;
    this.#gone = gone;
    const { framesPerSecond: perSecond, burst } = nodeLimits;
    this.#frames = new TokenBucket({ perSecond, burst }, clock.monotonic());
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
    this.#frames.spend(this.#clock.monotonic(), 1);
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
    const wait = this.#frames.waitMs(this.#clock.monotonic());
    return wait === 0 ? null : () => this.#clock.sleep(wait, this.#gone).catch(() => {});
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
}
