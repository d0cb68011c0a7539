import { AegisError } from '@aegis/errors';
import { NONCE_MS } from './rest-keys.ts';

/** Longer than any nonce is good for: clocks of gateways may differ by the slack of RestKeys.checkNonce. */
const PAGE_MS = NONCE_MS + 15_000;

interface Page {
  readonly begunAt: number;
  /** Some 150 bytes of each. */
  readonly byNode: Map<bigint, Set<string>>;
}

/**
 * Nonces that nodes have signed requests with, until they are too old to be accepted anyway. Only of requests whose signature was good, so
 * that strangers fill no memory; and of each node no more than its allowance of REST requests lets through (admission.ts). Of one process:
 * nonces from before it began are refused, for nobody here knows whether they were used. What was used at another gateway is not known here.
 */
export class UsedNonces {
  readonly #since: number;
  #current: Page | null = null;
  #previous: Page | null = null;

  /** `since`: when this process began, Unix milliseconds. */
  constructor(since: number) {
    this.#since = Math.floor(since);
  }

  /** REST_NONCE when it was used, or made before `since`. `issuedAt`: Unix milliseconds. */
  note(nodeId: bigint, nonce: string, issuedAt: number, monotonic: number): void {
    if (issuedAt < this.#since) throw new AegisError('REST_NONCE', 'It is from before this gateway started.');
    const page = this.#pageAt(monotonic);
    const used = page.byNode.get(nodeId) ?? new Set<string>();
    if (used.has(nonce) || this.#previous?.byNode.get(nodeId)?.has(nonce)) {
      throw new AegisError('REST_NONCE', 'It was used before.');
    }
    if (used.size === 0) page.byNode.set(nodeId, used);
    used.add(nonce);
  }

  #pageAt(monotonic: number): Page {
    if (this.#current !== null && monotonic - this.#current.begunAt < PAGE_MS) return this.#current;
    const isNext = this.#current !== null && monotonic - this.#current.begunAt < 2 * PAGE_MS;
    this.#previous = isNext ? this.#current : null;
    this.#current = { begunAt: monotonic, byNode: new Map() };
    return this.#current;
  }
}
