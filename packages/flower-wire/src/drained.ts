import type { Writable } from 'node:stream';

/** Resolves when the stream takes more, or its reader has gone. */
export const drained = (stream: Pick<Writable, 'once' | 'off'>, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    stream.once('drain', done);
    signal.addEventListener('abort', done, { once: true });
  });
