import { CommandError } from '../command-error.ts';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { ExitCode } from '../exit-codes.ts';

interface Options extends ConnectionOptions {
  expect?: string;
}

export const addAuditVerify: AddCommand = (audit, context) =>
  withConnectionOptions(
    audit
      .command('verify')
      .description('read the whole log again: chain and codes, and whether an entry that you kept is in it still'),
  )
    .option('--expect <entry:hash>', 'what an earlier verify printed: shows that nothing since was taken away')
    .action(async ({ expect, ...connection }: Options) => {
      const { terminal } = context();
      const wanted = expect === undefined ? null : parseExpected(expect);
      let [entries, head, found] = [0n, '', false];
      await withOperator(connection, context(), async (operator) => {
        for await (const { sequence, hash } of operator.stream('readAudit', { after: 0n })) {
          [entries, head] = [sequence, hash];
          if (wanted?.entry === sequence) found = wanted.hash === hash;
        }
      });
      if (wanted !== null && !found) {
        throw new CommandError(
          'AUDIT_CUT',
          `Entry ${wanted.entry} is not the one that was there: ${entries} are left.`,
          {
            todo: 'Somebody put an older copy of the log back, or wrote another one with its key. Keep what NATS holds as evidence.',
          },
        );
      }
      terminal.result({ sound: true, entries, head, ...(wanted !== null && { expected: true }) });
      terminal.line(`sound: ${entries} entries${wanted === null ? '' : `, entry ${wanted.entry} among them`}`);
      if (entries > 0n) terminal.line(`keep elsewhere: --expect ${entries}:${head}`);
    });

const parseExpected = (text: string): { entry: bigint; hash: string } => {
  const [, entry, hash = ''] = /^(\d{1,18}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (entry !== undefined) return { entry: BigInt(entry), hash };
  throw new CommandError('USAGE', '--expect takes what an earlier `aegis audit verify` printed, ENTRY:HASH.', {
    exitCode: ExitCode.usage,
  });
};
