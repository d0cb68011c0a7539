import { AegisError } from '@aegis/errors';
import type { Logger } from './logger.ts';

export interface Stoppable {
  /** Takes no new work and finishes what is under way. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

export interface Shutdown {
  /** Starts the shutdown as a signal would. */
  trigger(reason: string): void;
  /** Resolves when drain and close have run, with the exit code. */
  readonly done: Promise<number>;
}

/**
 * SIGINT or SIGTERM: drain, close, done. A second signal ends the process at once. An unhandled rejection or exception is a bug: it is
 * logged and shuts down with exit code 1.
 */
export const onShutdown = (log: Logger, service: Stoppable): Shutdown => {
  const { promise: done, resolve } = Promise.withResolvers<number>();
  let stopping = false;

  const stop = async (reason: string, code: number): Promise<void> => {
    stopping = true;
    log.info({ reason }, 'shutting down');
    let exitCode = code;
    for (const step of ['drain', 'close'] as const) {
      try {
        await service[step]();
      } catch (error) {
        log.error({ err: error, step }, 'shutdown step failed');
        exitCode = exitCode === 0 ? 1 : exitCode;
      }
    }
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    process.off('unhandledRejection', onBug).off('uncaughtException', onBug);
    resolve(exitCode);
  };
  const onSignal = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(signal === 'SIGINT' ? 130 : 143);
    void stop(signal, 0);
  };
  const onBug = (error: unknown) => {
    log.error({ err: error }, 'unhandled error');
    if (!stopping) void stop('unhandled error', 1);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  process.on('unhandledRejection', onBug).on('uncaughtException', onBug);
  return {
    trigger: (reason) => {
      if (!stopping) void stop(reason, 0);
    },
    done,
  };
};

/** The frame of a service's main.ts: starts, runs until told to stop, exits; a signal before it is up ends it at once. A wrong configuration exits with 2 and one clear line. */
export const runService = async (log: Logger, start: () => Promise<Stoppable>): Promise<never> => {
  // The first process of a container ignores signals that nobody listens to.
  const leave = (signal: NodeJS.Signals): never => process.exit(signal === 'SIGINT' ? 130 : 143);
  process.on('SIGINT', leave).on('SIGTERM', leave);
  try {
    const service = await start();
    process.off('SIGINT', leave).off('SIGTERM', leave);
    process.exit(await onShutdown(log, service).done);
  } catch (error) {
    const refused = AegisError.from(error);
    log.error({ err: refused.entry.kind === 'internal' ? refused : undefined, code: refused.code }, refused.message);
    process.exit(refused.code === 'CONFIG_INVALID' ? 2 : 1);
  }
};
