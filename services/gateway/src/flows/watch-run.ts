import type { LogLines, RunEvent } from '../domain/run.ts';
import type { Gateway } from './gateway.ts';

/** Round by round; ends with the run. */
export const watchRun = (gateway: Gateway, runId: bigint, caller: AbortSignal): AsyncIterable<RunEvent> =>
  gateway.runs.watchRun(runId, caller);

/**
 * The run's log after `after` (Unix seconds), as the `flwr` command prints it: what there is comes in one piece (`flwr log --show` reads no
 * second one), then line by line until the run ends; each line has its end.
 */
export async function* watchLog(
  { runs }: Gateway,
  runId: bigint,
  after: number,
  caller: AbortSignal,
): AsyncGenerator<LogLines> {
  const written: string[] = [];
  let newest = after;
  for await (const { text, latest } of runs.watchLog(runId, after, false, caller)) {
    written.push(ended(text));
    newest = latest;
  }
  if (written.length > 0) yield { text: written.join(''), latest: newest };
  for await (const { text, latest } of runs.watchLog(runId, newest, true, caller)) yield { text: ended(text), latest };
}

const ended = (line: string): string => (line.endsWith('\n') ? line : `${line}\n`);
