/** So many a second on the long run, and so many at once after a rest. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** Lets through what its rate allows; what it does not let through costs nothing. */
export class TokenBucket {
  readonly #rate: Rate;
  #left: number;
  #at: number;

  /** Full at `monotonic`, in milliseconds like all times here. */
  constructor(rate: Rate, monotonic: number) {
    this.#rate = rate;
    this.#left = rate.burst;
    this.#at = monotonic;
  }

  take(monotonic: number): boolean {
    const { perSecond, burst } = this.#rate;
    this.#left = Math.min(this.#left + ((monotonic - this.#at) / 1000) * perSecond, burst);
    this.#at = monotonic;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
