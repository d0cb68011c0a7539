import type { RunSummary } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { CommandError } from '../command-error.ts';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import type { Operator } from '../operator.ts';
import { parseId } from '../parse.ts';
import { RunProgress } from '../present/run-progress.ts';
import { isCompleted, runJson, runStatus } from '../present/runs.ts';

export const addRunsWatch: AddCommand = (runs, context) =>
  withConnectionOptions(runs.command('watch').description('follow a run round by round until it ends'))
    .argument('[id]', 'run id (default: the newest run)', parseId)
    .action(async (id: bigint | undefined, options: ConnectionOptions) => {
      const { terminal } = context();
      const progress = new RunProgress(terminal);
      let runId = id ?? 0n;
      const last = await withOperator(options, context(), async (operator) => {
        let summary: RunSummary | undefined;
        runId = id ?? (await newestRun(operator));
        for await (const event of operator.stream('watchRun', { runId })) {
          progress.show(event);
          summary = event.run ?? summary;
        }
        return summary;
      });
      if (last === undefined) throw new CommandError('RUN_NOT_WATCHED', 'The server ended the stream without a word.');
      if (!isCompleted(last)) {
        const details = last.run?.status?.details ?? '';
        throw new CommandError(
          'RUN_FAILED',
          `Run ${runId} is ${runStatus(last)}${details === '' ? '' : `: ${details}`}.`,
          {
            todo: `See: aegis runs show ${runId}`,
          },
        );
      }
      terminal.result(runJson(last));
      terminal.line(`run ${runId} is ${runStatus(last)}`);
    });

async function newestRun(operator: Operator): Promise<bigint> {
  const { runs } = await operator.call('listRuns', { runId: undefined, limit: 1, skip: 0 });
  const newest = runs[0]?.run?.runId;
  if (newest === undefined)
    throw new CommandError('RUN_NOT_FOUND', 'There is no run yet.', { todo: 'Start one: flwr run' });
  return newest;
}
