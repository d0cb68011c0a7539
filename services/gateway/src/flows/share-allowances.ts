import type { Elsewhere } from '../domain/presence.ts';
import type { AllowancesPeer } from '../peers/contract.ts';
import type { Allowances } from './allowances.ts';

export interface SharingParts {
  readonly allowances: Allowances;
  readonly peer: AllowancesPeer;
  readonly elsewhere: Pick<Elsewhere, 'neighbours'>;
  /** Whether the other gateways can be heard now. */
  readonly hears: () => boolean;
}

/**
 * Keeps the allowances of several gateways one. While the others cannot be heard this one gives out its fair part of each, as if all of them
 * were still there: nobody gets more of all gateways together than of one, and nobody is shut out.
 */
export class AllowanceSharing {
  readonly #parts: SharingParts;
  #neighbours = 0;

  constructor(parts: SharingParts) {
    this.#parts = parts;
  }

  /** To be called a few times a second. */
  tick(monotonic: number): void {
    const { allowances, peer, elsewhere, hears } = this.#parts;
    if (!hears()) {
      allowances.share = 1 / (1 + this.#neighbours);
      allowances.forgetUntold();
      return;
    }
    allowances.share = 1;
    this.#neighbours = elsewhere.neighbours(monotonic);
    // Before there is anybody to tell, nothing is kept for him.
    const spent = allowances.toTell();
    if (this.#neighbours > 0 && spent.length > 0) peer.spent(spent);
  }
}
