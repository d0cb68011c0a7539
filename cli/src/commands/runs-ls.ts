import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { parseWhole } from '../parse.ts';
import { runHead, runJson, runRow } from '../present/runs.ts';

interface Options extends ConnectionOptions {
  limit: number;
}

export const addRunsLs: AddCommand = (runs, context) =>
  withConnectionOptions(runs.command('ls').description('list runs, newest first'))
    .option('--limit <n>', 'at most this many', parseWhole(1, 10_000), 50)
    .action(async (options: Options) => {
      const { terminal } = context();
      const answer = await withOperator(options, context(), (operator) =>
        operator.call('listRuns', { limit: options.limit, skip: 0, runId: undefined }),
      );
      terminal.result(answer.runs.map(runJson));
      const now = Date.now() / 1000;
      terminal.table(
        runHead,
        answer.runs.map((run) => runRow(run, now)),
        'No runs yet. Start one with `flwr run`.',
      );
    });
