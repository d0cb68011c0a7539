import { setTimeout as sleep } from 'node:timers/promises';
import { FleetError } from './transport.ts';

/** A stock node's back-off: full jitter, 1 s doubling to 20 s, for ever. */
export async function withRetry<T>(
  call: () => Promise<T>,
  onRetry: (error: Error) => void,
  signal: AbortSignal,
): Promise<T> {
  for (let bound = 1_000; ; bound = Math.min(2 * bound, 20_000)) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof FleetError && error.refusal === 'retry') || signal.aborted) throw error;
      onRetry(error);
      await sleep(Math.random() * bound, undefined, { signal });
    }
  }
}

/** Runs `work` on every item, at most `width` at a time, in order of start. */
export async function inParallel<T>(
  items: Iterable<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const lane = async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: width }, lane));
}
