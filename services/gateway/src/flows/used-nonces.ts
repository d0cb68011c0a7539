import { AegisError } from '@aegis/errors';
import { type Rate, TokenBucket } from '../domain/token-bucket.ts';
import { NONCE_MS } from './rest-keys.ts';

/** Longer than any nonce is good for: clocks of gateways may differ by the slack of RestKeys.checkNonce. */
const PAGE_MS = NONCE_MS + 15_000;
/** Of one node, whose parts of 1 MiB then come with up to 100 MB/s. Some 150 bytes are remembered of each request. */
const RATE: Rate = { perSecond: 100, burst: 2_000 };

interface OfNode {
  readonly used: Set<string>;
  readonly requests: TokenBucket;
}

interface Page {
  readonly begunAt: number;
  readonly byNode: Map<bigint, OfNode>;
}

/**
 * Nonces that nodes have signed requests with, until they are too old to be accepted anyway. Only of requests whose signature was good, so
 * that strangers fill no memory; and of each node no more than its rate lets through, so that none fills the memory of the others. Of one
 * process: nonces from before it began are refused, for nobody here knows whether they were used. What was used at another gateway is not
 * known here.
 */
export class UsedNonces {
  readonly #since: number;
  readonly #rate: Rate;
  #current: Page | null = null;
  #previous: Page | null = null;

  /** `since`: when this process began, Unix milliseconds. */
  constructor(since: number, rate = RATE) {
    this.#since = Math.floor(since);
    this.#rate = rate;
  }

  /**
   * REST_NONCE when it was used, or made before `since`; UNAVAILABLE when the node asks faster than its rate. `issuedAt`: Unix
   * milliseconds.
   */
  note(nodeId: bigint, nonce: string, issuedAt: number, monotonic: number): void {
    if (issuedAt < this.#since) throw new AegisError('REST_NONCE', 'It is from before this gateway started.');
    const page = this.#pageAt(monotonic);
    const known = page.byNode.get(nodeId);
    if (known?.used.has(nonce) || this.#previous?.byNode.get(nodeId)?.used.has(nonce)) {
      throw new AegisError('REST_NONCE', 'It was used before.');
    }
    const node = known ?? { used: new Set<string>(), requests: new TokenBucket(this.#rate, monotonic) };
    if (!node.requests.take(monotonic))
      throw new AegisError('UNAVAILABLE', `One node may make ${this.#rate.perSecond} requests a second.`);
    node.used.add(nonce);
    if (known === undefined) page.byNode.set(nodeId, node);
  }

  #pageAt(monotonic: number): Page {
    if (this.#current !== null && monotonic - this.#current.begunAt < PAGE_MS) return this.#current;
    const isNext = this.#current !== null && monotonic - this.#current.begunAt < 2 * PAGE_MS;
    this.#previous = isNext ? this.#current : null;
    this.#current = { begunAt: monotonic, byNode: new Map() };
    return this.#current;
  }
}
