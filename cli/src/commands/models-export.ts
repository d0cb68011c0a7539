import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { AegisError } from '@aegis/errors';
import { Option } from 'commander';
import { CommandError } from '../command-error.ts';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { ExitCode } from '../exit-codes.ts';
import type { Operator } from '../operator.ts';
import { parseId, parseWhole } from '../parse.ts';
import { formatBytes } from '../present/values.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends ConnectionOptions {
  run?: bigint;
  round?: number;
  format: string;
  output?: string;
}

export interface ModelChoice {
  modelId: string;
  runId: bigint;
  /** 0 = newest */
  round: number;
  format: string;
}

export const addModelsExport: AddCommand = (models, context) =>
  withConnectionOptions(models.command('export').description('write a model version to a file'))
    .argument('[model]', 'model id, the beginning of one, or the name given at import; or say --run')
    .option('--run <id>', 'the model of this run', parseId)
    .option('--round <n>', 'after this round (default: the newest)', parseWhole(1, 1_000_000))
    .addOption(new Option('--format <format>', 'file format').choices(['npz', 'safetensors']).default('npz'))
    .option('-o, --output <file>', 'where to (default: the name the server gives)')
    .action(async (modelId: string | undefined, options: Options) => {
      const { terminal } = context();
      if ((modelId === undefined) === (options.run === undefined)) {
        throw new CommandError('MODEL_CHOICE', 'Name one model: either its id, or --run ID.', {
          exitCode: ExitCode.usage,
        });
      }
      const { format, run: runId = 0n, round = 0 } = options;
      const written = await withOperator(options, context(), async (operator) => {
        const chosen = modelId === undefined ? '' : await findModel(operator, modelId);
        return await exportModel(operator, { modelId: chosen, runId, round, format }, options.output, terminal);
      });
      terminal.result(written);
      terminal.line(`${written.file} (${formatBytes(written.bytes)})`);
    });

/** The full id of the one model that is meant. */
async function findModel(operator: Operator, wanted: string): Promise<string> {
  if (/^[0-9a-f]{64}$/.test(wanted)) return wanted;
  const { models } = await operator.call('listModels', {});
  const named = models.filter(({ name }) => name === wanted);
  const meant = named.length > 0 ? named : models.filter(({ modelId }) => modelId.startsWith(wanted));
  const ids = [...new Set(meant.map(({ modelId }) => modelId))];
  const [id] = ids;
  if (id === undefined) throw new AegisError('MODEL_NOT_FOUND', `"${wanted}".`);
  if (ids.length === 1) return id;
  throw new CommandError('MODEL_CHOICE', `"${wanted}" fits ${ids.length} models.`, {
    todo: `Give more of the id: ${ids.map((one) => one.slice(0, 16)).join(', ')}`,
    exitCode: ExitCode.usage,
  });
}

/** Writes the model to `file`, or to the name the server gives it; whole or not at all. */
export async function exportModel(
  operator: Operator,
  choice: ModelChoice,
  file: string | undefined,
  terminal: Terminal,
): Promise<{ file: string; bytes: number }> {
  const temporary = `${file ?? 'model'}.${randomUUID().slice(0, 8)}.part`;
  const target = await open(temporary, 'wx');
  let bytes = 0;
  let name = file;
  try {
    try {
      for await (const chunk of operator.stream('exportModel', choice)) {
        name ??= safeName(chunk.fileName);
        await target.writeFile(chunk.content);
        bytes += chunk.content.length;
        terminal.transient(`received ${formatBytes(bytes)}`);
      }
      await target.sync();
    } finally {
      terminal.clearTransient();
      await target.close();
    }
    const final = name ?? `model.${choice.format}`;
    await rename(temporary, final);
    return { file: final, bytes };
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** The server proposes a name, never a place. */
const safeName = (proposed: string): string | undefined =>
  /^[\w][\w.-]{0,120}$/.test(proposed) ? proposed : undefined;
