import { AegisError } from '@aegis/errors';
import type { CallOptions, ServiceChannel, ServiceClient } from '@aegis/service-kit';
import type { AggregatorProcess } from './aggregator.ts';
import type { Life } from './life.ts';

const CALL_MS = 30_000;

type Call = (request: unknown, options?: CallOptions) => Promise<unknown>;

/** The way from one process to whichever aggregator is at an address when it is called. */
export const wayTo = (at: () => AggregatorProcess | undefined, caller: Life): ServiceChannel => {
  const call = async (definition: object, method: string, request: unknown, options: CallOptions): Promise<unknown> => {
    await caller.gate();
    options.signal?.throwIfAborted();
    const process = at();
    if (process === undefined || process.channel === null || process.life.isDead) {
      throw new AegisError('UNAVAILABLE', 'No aggregator is there.');
    }
    const client = process.channel.client(definition) as Record<string, Call>;
    const untilDeath = { timeoutMs: Infinity, signal: process.life.died };
    const answer = process.life.serve(() => (client[method] as Call)(request, untilDeath));
    return within(answer, caller, options.timeoutMs ?? CALL_MS, options.signal).finally(() => caller.gate());
  };
  return {
    client: <D extends object>(definition: D): ServiceClient<D> => {
      const methods = Object.keys(definition).map((method): [string, Call] => [
        method,
        (request, options = {}) => call(definition, method, request, options),
      ]);
      return Object.fromEntries(methods) as unknown as ServiceClient<D>;
    },
    ready: async () => at()?.channel != null && !at()?.life.isDead,
    close: async () => {},
  };
};

/** Gives the call up after `ms`, or with the signal; what was asked may be done all the same. */
export function within<T>(answer: Promise<T>, caller: Life, ms: number, signal?: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = caller.time.schedule(ms, () => reject(new AegisError('DEADLINE')));
    const aborted = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', aborted, { once: true });
    const over = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', aborted);
    };
    answer.then(resolve, reject).finally(over);
  });
}
