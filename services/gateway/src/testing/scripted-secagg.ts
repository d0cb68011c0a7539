import { type ExchangeRequest, type ExchangeResponse, RelayService } from '@aegis/contracts/aegis/secagg/v1/secagg';
import { type LocalService, serviceOf } from '@aegis/service-kit';

const blank: ExchangeResponse = { stage: 0, request: Buffer.alloc(0), nothingYet: false, done: false };

/** A secagg service that answers what the test tells it to, when it tells it to. */
export class ScriptedSecagg {
  readonly asked: ExchangeRequest[] = [];
  readonly gone: string[] = [];
  readonly #waiting: PromiseWithResolvers<ExchangeResponse>[] = [];

  service(): LocalService {
    return serviceOf(RelayService, {
      exchange: (request, { signal }) => {
        this.asked.push(request);
        signal.addEventListener('abort', () => this.gone.push(request.taskId), { once: true });
        const waiting = Promise.withResolvers<ExchangeResponse>();
        this.#waiting.push(waiting);
        return waiting.promise;
      },
    });
  }

  /** To the exchange that has waited longest. */
  answer(response: Partial<ExchangeResponse>): void {
    this.#waiting.shift()?.resolve({ ...blank, ...response });
  }

  fail(error: Error): void {
    this.#waiting.shift()?.reject(error);
  }
}
