const RATE = { perSecond: 50, burst: 500 };

/**
 * How often the store is asked about REST nodes that this process does not know: a node that registered at another gateway a moment ago is
 * found there, and whoever makes up node ids costs the store no more than this.
 */
export class UnknownNodes {
  readonly #rate: typeof RATE;
  #left: number;
  #at = 0;

  constructor(rate = RATE) {
    this.#rate = rate;
    this.#left = rate.burst;
  }

  /** `monotonic`: milliseconds. */
  mayAsk(monotonic: number): boolean {
    const { perSecond, burst } = this.#rate;
    this.#left = Math.min(this.#left + ((monotonic - this.#at) / 1000) * perSecond, burst);
    this.#at = monotonic;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
