import type { Clock } from '@aegis/service-kit';

interface Refusal {
  readonly code: string;
  readonly peer: string;
}
interface Held<R> {
  readonly since: number;
  last: R;
  suppressed: number;
}

export interface RefusalLinesOptions {
  readonly everyMs: number;
  /** How many (code, address) are told apart at once; what comes beyond shares one line per code. */
  readonly addresses: number;
}

/**
 * Which refusals are worth a line in the log: the first of each code and address, and then one in a while that says how
 * many were left out. A flood, from however many addresses, fills neither the log nor the memory.
 */
export class RefusalLines<R extends Refusal = Refusal> {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #everyMs: number;
  readonly #addresses: number;
  /** Oldest first: all stay equally long. */
  readonly #held = new Map<string, Held<R>>();

  constructor(
    clock: Pick<Clock, 'monotonic'>,
    { everyMs = 10_000, addresses = 1_000 }: Partial<RefusalLinesOptions> = {},
  ) {
    this.#clock = clock;
    this.#everyMs = everyMs;
    this.#addresses = addresses;
  }

  /** The lines to write now: this refusal, unless it is suppressed, and what was suppressed in times that are over. */
  of<T extends R>(refusal: T): (R & { suppressed: number })[] {
    const now = this.#clock.monotonic();
    const lines: (R & { suppressed: number })[] = [];
    const own = `${refusal.code} ${refusal.peer}`;
    let before = 0;
    for (const [key, { since, last, suppressed }] of this.#held) {
      if (now - since < this.#everyMs) break;
      this.#held.delete(key);
      if (key === own) before = suppressed;
      else if (suppressed > 0) lines.push({ ...last, suppressed });
    }
    const key = this.#held.has(own) || this.#held.size < this.#addresses ? own : `${refusal.code} *`;
    const held = this.#held.get(key);
    if (held) {
      held.last = refusal;
      held.suppressed += 1;
    } else {
      this.#held.set(key, { since: now, last: refusal, suppressed: 0 });
      lines.push({ ...refusal, suppressed: before });
    }
    return lines;
  }
}
