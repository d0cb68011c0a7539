/** So many a second on the long run, and so many at once after a rest. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/**
 * Lets through what its rate allows; what it does not let through costs nothing. The rate is asked for at every use, so that one rate of
 * many buckets may change.
 */
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

  take(monotonic: number, cost = 1): boolean {
    if (this.left(monotonic) < cost) return false;
    this.#left -= cost;
    return true;
  }

  /** What was used already, here or elsewhere, whether it was there or not: the debt is never more than a burst. Negative: it is given back. */
  spend(monotonic: number, cost: number): void {
    const { burst } = this.#rate;
    this.#left = Math.max(-burst, Math.min(this.left(monotonic) - cost, burst));
  }

  left(monotonic: number): number {
    const { perSecond, burst } = this.#rate;
    this.#left = Math.min(this.#left + ((monotonic - this.#at) / 1000) * perSecond, burst);
    this.#at = monotonic;
    return this.#left;
  }

  /** Milliseconds until `cost` is there. */
  waitMs(monotonic: number, cost = 1): number {
    return Math.max(0, Math.ceil(((cost - this.left(monotonic)) / this.#rate.perSecond) * 1000));
  }

  /** It is as if it had never been used. */
  isFull(monotonic: number): boolean {
    return this.left(monotonic) >= this.#rate.burst;
  }
}
