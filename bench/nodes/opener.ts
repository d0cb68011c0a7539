import { createSecureContext, type SecureContext } from 'node:tls';
import { HttpConnection } from './http-connection.ts';
import type { Place } from './transport.ts';

const AT_ONCE = 256;

/**
 * Opens the connections of a process, so many at a time. Thousands of nodes in one process would otherwise come in step after any
 * hiccup of the process, which thousands of machines do not.
 */
export class Opener {
  readonly #secure: SecureContext;
  readonly #waiting: (() => void)[] = [];
  #free = AT_ONCE;
  /** So far. */
  opened = 0;

  constructor(ca: string) {
    this.#secure = createSecureContext({ ca });
  }

  async open(place: Place): Promise<HttpConnection> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      this.opened += 1;
      return await HttpConnection.open(place, this.#secure);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
