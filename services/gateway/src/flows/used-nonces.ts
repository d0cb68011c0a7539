import { AegisError } from '@aegis/errors';
import { NONCE_MS } from './rest-keys.ts';

/** Longer than any nonce is good for: clocks of gateways may differ by the slack of RestKeys.checkNonce. */
const PAGE_MS = NONCE_MS + 15_000;
/** Some 150 bytes each. */
const MOST_TOGETHER = 400_000;
const MOST_OF_ONE_NODE = 40_000;

interface Page {
  readonly begunAt: number;
  readonly byNode: Map<bigint, Set<string>>;
  count: number;
}

/**
 * Nonces that nodes have signed requests with, until they are too old to be accepted anyway. Only of requests whose signature was
 * good, so that strangers fill no memory. Of one process: what was used at another gateway, or before a restart, is not known here.
 */
export class UsedNonces {
  readonly #most: { readonly together: number; readonly ofOneNode: number };
  #current: Page | null = null;
  #previous: Page | null = null;

  constructor(most = { together: MOST_TOGETHER, ofOneNode: MOST_OF_ONE_NODE }) {
    this.#most = most;
  }

  /** REST_NONCE when it was used; UNAVAILABLE when there is no room to remember it, for then it could be used again. */
  note(nodeId: bigint, nonce: string, monotonic: number): void {
    const page = this.#pageAt(monotonic);
    const before = this.#previous;
    const used = page.byNode.get(nodeId) ?? new Set<string>();
    if (used.has(nonce) || before?.byNode.get(nodeId)?.has(nonce)) {
      throw new AegisError('REST_NONCE', 'It was used before.');
    }
    if (used.size >= this.#most.ofOneNode || page.count + (before?.count ?? 0) >= this.#most.together) {
      throw new AegisError('UNAVAILABLE', 'More requests were made than can be told apart later.');
    }
    if (used.size === 0) page.byNode.set(nodeId, used);
    used.add(nonce);
    page.count += 1;
  }

  #pageAt(monotonic: number): Page {
    if (this.#current !== null && monotonic - this.#current.begunAt < PAGE_MS) return this.#current;
    const isNext = this.#current !== null && monotonic - this.#current.begunAt < 2 * PAGE_MS;
    this.#previous = isNext ? this.#current : null;
    this.#current = { begunAt: monotonic, byNode: new Map(), count: 0 };
    return this.#current;
  }
}
