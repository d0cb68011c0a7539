import type { SecaggClient } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import type { KeptUpdate } from '../domain/masked-round.ts';

/** Masked rounds of this process: their state machines, and whoever waits for the SuperNode's answer. Forgotten when a round is over. */
export class OpenRounds {
  readonly #clients = new Map<string, SecaggClient>();
  readonly #waiting = new Map<string, PromiseWithResolvers<KeptUpdate>>();

  client(taskId: string): SecaggClient | undefined {
    return this.#clients.get(taskId);
  }

  hold(taskId: string, client: SecaggClient): void {
    this.#clients.set(taskId, client);
  }

  /** The SuperNode's answer, when it is there. SECAGG_ROUND_OVER when the round ends before. */
  updateFor(taskId: string): Promise<KeptUpdate> {
    return this.#waiter(taskId).promise;
  }

  updateIsThere(taskId: string, update: KeptUpdate): void {
    this.#waiting.get(taskId)?.resolve(update);
  }

  /** Wipes what is secret. */
  end(taskId: string): void {
    this.#clients.get(taskId)?.abort();
    this.#clients.delete(taskId);
    this.#waiting.get(taskId)?.reject(new AegisError('SECAGG_ROUND_OVER'));
    this.#waiting.delete(taskId);
  }

  #waiter(taskId: string): PromiseWithResolvers<KeptUpdate> {
    const known = this.#waiting.get(taskId);
    if (known) return known;
    const waiter = Promise.withResolvers<KeptUpdate>();
    waiter.promise.catch(() => {});
    this.#waiting.set(taskId, waiter);
    return waiter;
  }
}
