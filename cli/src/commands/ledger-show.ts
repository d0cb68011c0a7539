import type { Entry } from '@aegis/contracts/aegis/privacy/v1/privacy';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import type { Operator } from '../operator.ts';
import { parseId, parseWhole } from '../parse.ts';
import { entryHead, entryJson, entryRow } from '../present/ledger.ts';

interface Options extends ConnectionOptions {
  run?: bigint;
  after: number;
  limit: number;
}

export const addLedgerShow: AddCommand = (ledger, context) =>
  withConnectionOptions(ledger.command('show').description('the entries of the ledger, oldest first'))
    .option('--run <id>', 'only those of one run', parseId)
    .option('--after <n>', 'only those after entry n', parseWhole(0, Number.MAX_SAFE_INTEGER), 0)
    .option('--limit <n>', 'at most this many', parseWhole(1, 1_000_000), 1_000)
    .action(async (options: Options) => {
      const { terminal } = context();
      const entries = await withOperator(options, context(), (operator) => readAll(operator, options));
      terminal.result(entries.map(entryJson));
      terminal.table(entryHead, entries.map(entryRow), 'Nothing was ever reserved.');
    });

async function readAll(operator: Operator, { run = 0n, after, limit }: Options): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (let from = BigInt(after); entries.length < limit; ) {
    const page = await operator.call('readLedger', {
      after: from,
      limit: Math.min(1_000, limit - entries.length),
      runId: run,
    });
    entries.push(...page.entries);
    if (page.next === 0n) break;
    from = page.next;
  }
  return entries;
}
