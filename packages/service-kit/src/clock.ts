/** The only source of time in the suite; tests pass a FakeClock. */
export interface Clock {
  /** Unix time in milliseconds, as the machine's clock has it now: it steps when that is set, and after a suspend. */
  now(): number;
  /** Milliseconds since some moment in the past. Never steps: for how long something took, and when something is due. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason when that comes first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Runs `fn` once after `ms`. A pending timer does not keep the process alive. */
  schedule(ms: number, fn: () => void): { cancel(): void };
}

// setTimeout's range is 2^31-1 ms; a longer wait would fire at once.
const longest = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),

  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(
        () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
        Math.min(ms, longest),
      );
      signal?.addEventListener('abort', onAbort, { once: true });
    }),

  schedule: (ms, fn) => {
    const timer = setTimeout(fn, Math.min(ms, longest));
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
