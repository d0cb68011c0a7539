import type { CallClass, Payer, Rates } from '../domain/admission.ts';
import { type Rate, TokenBucket } from '../domain/token-bucket.ts';
import type { SpentElsewhere } from '../peers/contract.ts';

/** Allowances in memory; some 300 bytes each. Those that are full again are forgotten. */
const MOST = 100_000;
/** Looking through all of them takes some milliseconds. */
const LOOK_MS = 1_000;
/** A difference of so many seconds of a rate is worth telling the other gateways. */
const TOLD_SECONDS = 0.1;
/** Of one message to them: a few ten kilobytes. */
const MOST_TOLD = 500;

interface Kept {
  readonly bucket: TokenBucket;
  readonly rate: Rate;
  /** Used here, and not told the others. */
  untold: number;
}

/**
 * The allowances of everybody, by class, payer and name. Every gateway has them in full and tells the others what was used, a few times a
 * second: no call waits for that. `share` is what the gateway may give out of each: all of it as long as it hears the others, else its fair part.
 * What more gateways than one let through at a time is bounded by a burst of each and what flows in between two messages.
 */
export class Allowances {
  readonly rates: Rates;
  readonly #most: number;
  readonly #shared = new Map<Rate, Rate>();
  readonly #kept = new Map<string, Kept>();
  readonly #untold = new Set<string>();
  #share = 1;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(rates: Rates, most = MOST) {
    this.rates = rates;
    this.#most = most;
  }

  get size(): number {
    return this.#kept.size;
  }

  /** 0 < share ≤ 1. */
  set share(part: number) {
    this.#share = part;
  }

  take(what: CallClass, payer: Payer, name: string, monotonic: number, cost = 1): boolean {
    const key = keyOf(what, payer, name);
    const kept = this.#of(key, this.rates[what][payer], monotonic);
    if (!kept.bucket.take(monotonic, cost)) return false;
    this.#note(key, kept, cost);
    return true;
  }

  /** Whether it is there or not; negative: it comes back. */
  spend(what: CallClass, payer: Payer, name: string, monotonic: number, cost: number): void {
    const key = keyOf(what, payer, name);
    const kept = this.#of(key, this.rates[what][payer], monotonic);
    kept.bucket.spend(monotonic, cost);
    this.#note(key, kept, cost);
  }

  /** What was used here since it was last asked; what would make no difference stays for a later time. */
  toTell(): SpentElsewhere[] {
    const told: SpentElsewhere[] = [];
    for (const allowance of this.#untold) {
      if (told.length === MOST_TOLD) break;
      const kept = this.#kept.get(allowance);
      if (kept && Math.abs(kept.untold) < kept.rate.perSecond * TOLD_SECONDS) continue;
      this.#untold.delete(allowance);
      if (!kept) continue;
      told.push({ allowance, tokens: kept.untold });
      kept.untold = 0;
    }
    return told;
  }

  /** What nobody could be told is not told later: by then it has flowed back. */
  forgetUntold(): void {
    for (const allowance of this.#untold) {
      const kept = this.#kept.get(allowance);
      if (kept) kept.untold = 0;
    }
    this.#untold.clear();
  }

  /** Another gateway used it. What is no allowance of ours (it has other settings) is left out. */
  usedElsewhere(spent: readonly SpentElsewhere[], monotonic: number): void {
    for (const { allowance, tokens } of spent) {
      const [what = '', payer = ''] = allowance.split(' ', 2);
      const rate = (this.rates as Partial<Record<string, Partial<Record<string, Rate>>>>)[what]?.[payer];
      if (rate && Number.isFinite(tokens)) this.#of(allowance, rate, monotonic).bucket.spend(monotonic, tokens);
    }
  }

  #note(key: string, kept: Kept, cost: number): void {
    kept.untold += cost;
    this.#untold.add(key);
  }

  #of(key: string, rate: Rate, monotonic: number): Kept {
    const known = this.#kept.get(key);
    if (known) return known;
    if (this.#kept.size >= this.#most) this.#forgetFull(monotonic);
    // All are in use: whoever comes now shares one with others of its kind.
    const place = this.#kept.size < this.#most ? key : `${key.slice(0, key.indexOf(' ', key.indexOf(' ') + 1))} *`;
    const shared = this.#kept.get(place);
    if (shared) return shared;
    const kept = { bucket: new TokenBucket(this.#sharedRate(rate), monotonic), rate, untold: 0 };
    this.#kept.set(place, kept);
    return kept;
  }

  #sharedRate(rate: Rate): Rate {
    const known = this.#shared.get(rate);
    if (known) return known;
    const share = (): number => this.#share;
    const shared = {
      get perSecond() {
        return rate.perSecond * share();
      },
      get burst() {
        return Math.max(1, rate.burst * share());
      },
    };
    this.#shared.set(rate, shared);
    return shared;
  }

  /** Not for everyone who asks while all are in use. */
  #forgetFull(monotonic: number): void {
    if (monotonic - this.#lookedAt < LOOK_MS) return;
    this.#lookedAt = monotonic;
    for (const [key, { bucket }] of this.#kept) if (bucket.isFull(monotonic)) this.#kept.delete(key);
  }
}

const keyOf = (what: CallClass, payer: Payer, name: string): string => `${what} ${payer} ${name}`;
