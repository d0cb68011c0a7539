import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { type BusCredentials, type NatsServer, startNatsServer } from '@aegis/bus';
import type { Clock, Logger } from '@aegis/service-kit';
import { CommandError } from '../command-error.ts';
import { projectRoot } from '../python.ts';
import type { StateDirectory } from '../state-directory.ts';

export interface NatsChild {
  readonly url: string;
  readonly credentials: BusCredentials;
  /** Changes when the server had to be started again. */
  pid(): number;
  stop(): Promise<void>;
}

const firstWaitMs = 100;
const longestWaitMs = 5_000;
/** A server that lasted this long starts again at once. */
const settledMs = 30_000;

/** $AEGIS_NATS_SERVER, or what `make setup` unpacked. */
export async function findNatsServer(env: NodeJS.ProcessEnv): Promise<string> {
  const binary = env.AEGIS_NATS_SERVER || join(projectRoot, '.cache', 'bin', 'nats-server');
  try {
    await access(binary, constants.X_OK);
    return binary;
  } catch (cause) {
    throw new CommandError('NATS_MISSING', `There is no nats-server at ${binary}.`, {
      todo: 'Run `make setup` (or scripts/nats-server.sh), or set AEGIS_NATS_SERVER to the program.',
      cause,
    });
  }
}

/**
 * The suite's own nats-server. One that crashes is started again on the same store, port and credentials, so that
 * connected clients find it; waits grow while it does not stay up.
 */
export async function startNatsChild(
  binary: string,
  state: StateDirectory,
  deps: { log: Logger; clock: Clock },
): Promise<NatsChild> {
  const { log, clock } = deps;
  const options = { binary, storeDir: state.nats, keyFile: state.natsKey, logFile: state.natsLog };
  const first = await startNatsServer({ ...options, port: 0 });
  const { url, port, credentials } = first;
  const stopping = new AbortController();
  let current: NatsServer | undefined = first;

  const watch = async (): Promise<void> => {
    let waitMs = firstWaitMs;
    for (let server: NatsServer | undefined = first; ; ) {
      const startedAt = clock.monotonic();
      const exit = await server.exited;
      if (stopping.signal.aborted) return;
      log.error({ exit, pid: server.pid }, 'nats-server ended; starting it again');
      if (clock.monotonic() - startedAt > settledMs) waitMs = firstWaitMs;
      for (server = undefined; server === undefined; waitMs = Math.min(2 * waitMs, longestWaitMs)) {
        await clock.sleep(waitMs, stopping.signal);
        server = await startNatsServer({ ...options, port, credentials }).catch((error) => {
          log.error({ err: error }, 'nats-server does not start');
          return undefined;
        });
      }
      current = server;
      if (stopping.signal.aborted) return await server.stop();
      log.info({ pid: server.pid }, 'nats-server is back');
    }
  };
  const watching = watch().catch((error) => {
    if (!stopping.signal.aborted) log.error({ err: error }, 'nobody watches nats-server any more');
  });

  return {
    url,
    credentials,
    pid: () => current?.pid ?? 0,
    stop: async () => {
      stopping.abort();
      await current?.stop();
      await watching;
    },
  };
}
