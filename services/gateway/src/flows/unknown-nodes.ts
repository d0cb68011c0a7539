import { type Rate, TokenBucket } from '../domain/token-bucket.ts';

const RATE: Rate = { perSecond: 50, burst: 500 };

/**
 * How often the store is asked about REST nodes that this process does not know: a node that registered at another gateway a moment ago is
 * found there, and whoever makes up node ids costs the store no more than this.
 */
export class UnknownNodes {
  readonly #bucket: TokenBucket;

  constructor(rate = RATE) {
    this.#bucket = new TokenBucket(rate, 0);
  }

  /** `monotonic`: milliseconds. */
  mayAsk(monotonic: number): boolean {
    return this.#bucket.take(monotonic);
  }
}
