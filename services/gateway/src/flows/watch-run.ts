import type { LogLines, RunEvent } from '../domain/run.ts';
import type { Gateway } from './gateway.ts';

/** Round by round; ends with the run. */
export const watchRun = (gateway: Gateway, runId: bigint, caller: AbortSignal): AsyncIterable<RunEvent> =>
  gateway.runs.watchRun(runId, caller);

/** The run's log lines written after `after` (Unix seconds); ends with the run. */
export const watchLog = (
  gateway: Gateway,
  runId: bigint,
  after: number,
  caller: AbortSignal,
): AsyncIterable<LogLines> => gateway.runs.watchLog(runId, after, true, caller);
