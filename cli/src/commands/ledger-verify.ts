import { CommandError } from '../command-error.ts';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';

/** Every entry is read again and every charge decided again. */
const withinMs = 600_000;

export const addLedgerVerify: AddCommand = (ledger, context) =>
  withConnectionOptions(
    ledger
      .command('verify')
      .description('read the whole ledger again: chain, codes, anchor, and every charge against its budget'),
  ).action(async (options: ConnectionOptions) => {
    const { terminal } = context();
    const verdict = await withOperator(options, context(), (operator) =>
      operator.call('verifyLedger', {}, { timeoutMs: withinMs }),
    );
    const { sound, entries, head, anchored, findings } = verdict;
    if (!sound) {
      for (const finding of findings) terminal.line(finding);
      throw new CommandError(
        'LEDGER_NOT_SOUND',
        `The privacy ledger is not sound: ${findings[0] ?? 'no reason given'}`,
        {
          todo: `It reads well up to entry ${entries} (head ${head}); nothing is granted meanwhile. docs/operations.md, "The privacy ledger", says what to do.`,
        },
      );
    }
    terminal.result({ sound, entries, head, anchored, findings });
    terminal.line(`sound: ${entries} entries, ${anchored} of them anchored`);
    terminal.line(`head   ${head}`);
  });
