import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { parseId } from '../parse.ts';

export const addRunsStop: AddCommand = (runs, context) =>
  withConnectionOptions(runs.command('stop').description('stop a run; its finished rounds and models stay'))
    .argument('<id>', 'run id', parseId)
    .action(async (runId: bigint, options: ConnectionOptions) => {
      const { terminal } = context();
      await withOperator(options, context(), (operator) => operator.call('stopRun', { runId }));
      terminal.result({ runId, stopped: true });
      terminal.line(`run ${runId} is stopped`);
    });
