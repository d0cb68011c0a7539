import type { Bus } from '@aegis/bus';
import type { Logger } from '@aegis/service-kit';
import type { RunFeed } from '../contract.ts';

/** Run logs in a stream, changes as events. */
export function natsRunFeed(bus: Bus, log: Logger): RunFeed {
  const lines = new Map<bigint, Promise<void>>();
  return {
    log: (runId, line) => {
      const before = lines.get(runId) ?? Promise.resolve();
      const written = before
        .then(() => bus.appendRunLog(runId, line))
        .catch((error: unknown) => log.warn({ err: error, runId, line }, 'a line of the run log was lost'))
        .finally(() => {
          if (lines.get(runId) === written) lines.delete(runId);
        });
      lines.set(runId, written);
    },
    flushed: (runId) => lines.get(runId) ?? Promise.resolve(),
    changed: (runId) => bus.publish('run-changed', { runId }),
    readLog: (runId, after, follow, signal) => bus.readRunLog(runId, after, follow, signal),
    changes: async (signal) => {
      const events = await bus.subscribe('run-changed', signal);
      return (async function* () {
        for await (const { message } of events) yield message.runId;
      })();
    },
  };
}
