import { isIPv6 } from 'node:net';
import { AegisError } from '@aegis/errors';

const WINDOW_MS = 60_000;

/** How many nodes may register from one address in a minute. Memory of one minute, in one process. */
export class RegistrationRate {
  readonly #most: number;
  #begunAt = Number.NEGATIVE_INFINITY;
  #counts = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /** REGISTRATIONS when there were enough. `monotonic`: milliseconds. */
  take(address: string, monotonic: number): void {
    if (monotonic - this.#begunAt >= WINDOW_MS) {
      this.#begunAt = monotonic;
      this.#counts = new Map();
    }
    const holder = holderOf(address);
    const count = this.#counts.get(holder) ?? 0;
    if (count >= this.#most) throw new AegisError('REGISTRATIONS', `${this.#most} in a minute are taken.`);
    this.#counts.set(holder, count + 1);
  }
}

/** Whoever has an IPv6 address has the 2^64 of its network. */
const holderOf = (address: string): string => {
  if (!isIPv6(address) || address.includes('.')) return address;
  const [head = '', tail = ''] = address.split('::');
  const pieces = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const zeros = Math.max(8 - pieces(head).length - pieces(tail).length, 0);
  return [...pieces(head), ...Array<string>(address.includes('::') ? zeros : 0).fill('0'), ...pieces(tail)]
    .slice(0, 4)
    .join(':');
};
