import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { parseId } from '../parse.ts';

export const addRunsTakeover: AddCommand = (runs, context) =>
  withConnectionOptions(
    runs
      .command('takeover')
      .description('go on with a run whose aggregator is lost with its disk; its open round begins anew'),
  )
    .argument('<id>', 'run id', parseId)
    .action(async (runId: bigint, options: ConnectionOptions) => {
      const { terminal } = context();
      await withOperator(options, context(), (operator) => operator.call('takeOverRun', { runId }));
      terminal.result({ runId, takenOver: true });
      terminal.line(`run ${runId} goes on elsewhere; its open round begins anew`);
    });
