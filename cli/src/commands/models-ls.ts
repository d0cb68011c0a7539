import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { parseId } from '../parse.ts';
import { modelHead, modelJson, modelRow } from '../present/models.ts';

interface Options extends ConnectionOptions {
  run?: bigint;
}

export const addModelsLs: AddCommand = (models, context) =>
  withConnectionOptions(models.command('ls').description('list model versions with their lineage'))
    .option('--run <id>', 'only those of one run', parseId)
    .action(async (options: Options) => {
      const { terminal } = context();
      const answer = await withOperator(options, context(), (operator) =>
        operator.call('listModels', { runId: options.run }),
      );
      terminal.result(answer.models.map(modelJson));
      terminal.table(modelHead, answer.models.map(modelRow), 'No models yet.');
    });
