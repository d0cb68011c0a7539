import { AegisError } from '@aegis/errors';
import { parseTimestamp, TIMESTAMP_AGE_SECONDS } from '../domain/credential.ts';

/** So long a timestamp may be accepted, from the first moment to the last. */
const WINDOW_MS = (TIMESTAMP_AGE_SECONDS.max - TIMESTAMP_AGE_SECONDS.min) * 1000;
/** Some 30 bytes each. A stock node at work makes a few calls a second, an idle one one in eight. */
const MOST_TOGETHER = 4_000_000;
const MOST_OF_ONE_KEY = 200_000;

interface Page {
  /** Unix milliseconds that its numbers count from: small numbers take a third of the memory. */
  readonly base: number;
  readonly begunAt: number;
  readonly byKey: Map<string, Set<number>>;
  count: number;
}

/**
 * Timestamps that keys have signed calls with. Flower's signature covers nothing else, so whoever has read one call could make
 * others with it for five minutes; here it counts once. Signatures are no good to tell calls apart by: of each there is a second one that
 * anybody can compute. Memory of one process: a call to another gateway, or from before a restart, is not known here.
 */
export class SeenCalls {
  readonly #most: { readonly together: number; readonly ofOneKey: number };
  #current: Page | null = null;
  #previous: Page | null = null;

  constructor(most = { together: MOST_TOGETHER, ofOneKey: MOST_OF_ONE_KEY }) {
    this.#most = most;
  }

  /**
   * Of a timestamp within its window, once its signature was found good. NODE_REPLAYED when the key has used it; UNAVAILABLE when there is
   * no room to remember it, for then it could be used again.
   */
  note(fingerprint: string, timestamp: string, now: number, monotonic: number): void {
    const at = parseTimestamp(timestamp);
    const page = this.#pageAt(now, monotonic);
    const [number, before] = [numberIn(page, at), this.#previous];
    const seen = page.byKey.get(fingerprint) ?? new Set<number>();
    if (seen.has(number) || before?.byKey.get(fingerprint)?.has(numberIn(before, at)))
      throw new AegisError('NODE_REPLAYED');
    if (seen.size >= this.#most.ofOneKey || page.count + (before?.count ?? 0) >= this.#most.together)
      throw new AegisError('UNAVAILABLE', 'More calls were made than can be told apart later.');
    if (seen.size === 0) page.byKey.set(fingerprint, seen);
    seen.add(number);
    page.count += 1;
  }

  /** What is older than two pages is too old for any timestamp in it to be accepted. */
  #pageAt(now: number, monotonic: number): Page {
    if (this.#current !== null && monotonic - this.#current.begunAt < WINDOW_MS) return this.#current;
    const isNext = this.#current !== null && monotonic - this.#current.begunAt < 2 * WINDOW_MS;
    this.#previous = isNext ? this.#current : null;
    this.#current = { base: now, begunAt: monotonic, byKey: new Map(), count: 0 };
    return this.#current;
  }
}

/** Microseconds, as Flower's nodes write them. */
const numberIn = ({ base }: Page, at: number): number => Math.round((at - base) * 1000);
