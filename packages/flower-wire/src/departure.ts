import { AegisError } from '@aegis/errors';

/** One for all: building an error with its stack for each is work nobody reads. */
const callerGone = new AegisError('UNAVAILABLE', 'The caller is gone.');

/** That the caller of one call is gone. Most calls never ask, so the signal is made when somebody does. */
export class Departure {
  #hasLeft = false;
  #controller: AbortController | undefined;

  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#hasLeft) this.#controller.abort(callerGone);
    }
    return this.#controller.signal;
  }

  leave(): void {
    this.#hasLeft = true;
    this.#controller?.abort(callerGone);
  }
}
