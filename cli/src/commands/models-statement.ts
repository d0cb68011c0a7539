import { createPublicKey, verify } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { StatementResponse } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { AegisError } from '@aegis/errors';
import { CommandError } from '../command-error.ts';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { ExitCode } from '../exit-codes.ts';
import type { Operator } from '../operator.ts';
import { parseId, parseWhole } from '../parse.ts';

interface Options extends ConnectionOptions {
  run: bigint;
  round?: number;
  asItStands?: boolean;
  output?: string;
}

export const addModelsStatement: AddCommand = (models, context) =>
  withConnectionOptions(models.command('statement').description('the signed privacy statement of a model version'))
    .requiredOption('--run <id>', 'the model of this run', parseId)
    .option('--round <n>', 'after this round (default: the newest)', parseWhole(1, 1_000_000))
    .option('--as-it-stands', 'of the run instead of a model: open reservations count too')
    .option('-o, --output <file>', 'write the DSSE envelope to a file')
    .action(async ({ run: runId, round, asItStands = false, output, ...connection }: Options) => {
      const { terminal } = context();
      if (asItStands && round !== undefined)
        throw new CommandError('STATEMENT_CHOICE', '--as-it-stands is about the run, --round about one model of it.', {
          exitCode: ExitCode.usage,
        });
      const statement = await withOperator(connection, context(), async (operator) => {
        const modelId = asItStands ? '' : await modelOf(operator, runId, round);
        return operator.call('privacyStatement', { runId, modelId });
      });
      const content = checked(statement);
      const envelope = envelopeOf(statement);
      if (output !== undefined) await writeFile(output, `${JSON.stringify(envelope, null, 2)}\n`);
      terminal.result({ statement: content, envelope });
      for (const line of JSON.stringify(content, null, 2).split('\n')) terminal.line(line);
      terminal.line();
      terminal.line(
        `signed by the ledger's key ${statement.keyId.slice(0, 16)}…${output === undefined ? '' : `, written to ${output}`}`,
      );
    });

async function modelOf(operator: Operator, runId: bigint, round: number | undefined): Promise<string> {
  const { models } = await operator.call('listModels', { runId });
  const made = models.filter((model) => model.round > 0);
  const version = round === undefined ? made.at(-1) : made.find((model) => model.round === round);
  if (version !== undefined) return version.modelId;
  throw new AegisError(
    'MODEL_NOT_FOUND',
    round === undefined ? `Run ${runId} has left none yet.` : `Round ${round} of run ${runId} left none.`,
  );
}

/** DSSE, as others read it: https://github.com/secure-systems-lab/dsse. The key comes along; whom it belongs to is the reader's to know. */
const envelopeOf = ({ payloadType, payload, signature, keyId, publicKey }: StatementResponse) => ({
  payloadType,
  payload: payload.toString('base64'),
  signatures: [{ keyid: keyId, sig: signature.toString('base64') }],
  publicKey,
});

/** What was signed, once the signature fits. */
export function checked({ payloadType, payload, signature, publicKey }: StatementResponse): unknown {
  const signed = Buffer.concat([
    Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `),
    payload,
  ]);
  if (verify(null, signed, createPublicKey(publicKey), signature)) return JSON.parse(payload.toString('utf8'));
  throw new CommandError(
    'STATEMENT_SIGNATURE',
    'The signature does not fit the statement: it was changed on its way.',
    {
      todo: 'Ask again; if it stays so, `aegis doctor` says whether the way to the server is what it should be.',
    },
  );
}
