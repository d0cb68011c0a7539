import { readFile } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { CommandError } from '../command-error.ts';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { ExitCode } from '../exit-codes.ts';
import { modelJson } from '../present/models.ts';
import { formatBytes } from '../present/values.ts';

interface Options extends ConnectionOptions {
  name?: string;
}

export const addModelsImport: AddCommand = (models, context) =>
  withConnectionOptions(models.command('import').description('store a model to start runs from'))
    .argument('<file>', 'an .npz or .safetensors file')
    .option('--name <name>', 'name for aegis.initial-model = "model:NAME" (default: the file name)')
    .action(async (file: string, options: Options) => {
      const { terminal } = context();
      const format = formatOf(file);
      const name = options.name ?? basename(file, extname(file));
      const content = await readFile(file);
      const model = await withOperator(options, context(), (operator) =>
        operator.call('importModel', { name, format, content }, { timeoutMs: 300_000 }),
      );
      terminal.result(modelJson(model));
      terminal.line(`${model.name} is model ${model.modelId} (${formatBytes(model.bytes)})`);
    });

function formatOf(file: string): string {
  const extension = extname(file).slice(1).toLowerCase();
  if (extension === 'npz' || extension === 'safetensors') return extension;
  throw new CommandError('MODEL_FORMAT', `${file} is neither .npz nor .safetensors.`, {
    todo: 'Save it with numpy.savez or safetensors, under a name with that ending.',
    exitCode: ExitCode.usage,
  });
}
