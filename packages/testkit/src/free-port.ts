import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Below the ports that kernels give out by themselves (Linux: from 32768), above those that services like to have. */
const range = { from: 15_000, to: 32_000 };
const workers = 4;
const given = new Set<number>();

/**
 * A port of 127.0.0.1 that nothing listens on, given once to a process and never to two workers of one test run. For what is told its
 * port before it starts, or starts again on it: a port that the kernel chose may be taken meanwhile by anybody's outgoing
 * connection, even by that of a client that calls until the server is back and then reaches itself.
 */
export const freePort = async (): Promise<number> => {
  const share = Math.floor((range.to - range.from) / workers);
  const from = range.from + share * (Number(process.env.VITEST_POOL_ID ?? 0) % workers);
  for (;;) {
    const port = randomInt(from, from + share);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
};

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer()
      .once('error', () => resolve(false))
      .listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
