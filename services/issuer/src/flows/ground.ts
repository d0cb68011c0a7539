import type { Clock, IssuedCertificate, Logger } from '@aegis/service-kit';
import type { Register } from '../store/contract.ts';

/** Everything a flow may touch. */
export interface Ground {
  /** The authority's certificate and key. */
  readonly authority: IssuedCertificate;
  /** Those it took the place of, whose nodes have not all been renewed: they issue nothing any more, but their lists are signed. */
  readonly former: readonly IssuedCertificate[];
  /** Of the authority's certificate, Unix milliseconds. */
  readonly notAfter: number;
  /** Of a node's certificate, in seconds. */
  readonly lifeSeconds: number;
  readonly register: Register;
  readonly turns: Turns;
  readonly clock: Clock;
  readonly log: Logger;
  readonly counted: Counted;
}

export interface Counted {
  issued(what: 'first' | 'next' | 'again'): void;
  revoked(): void;
}

/** One after the other: between what is read of a name and what is written of it there is a signature to wait for. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}
