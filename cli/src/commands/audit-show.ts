import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { AuditEntry } from '@aegis/contracts/aegis/operator/v1/operator';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { parseWhole } from '../parse.ts';
import { auditHead, auditJson, auditRow } from '../present/audit.ts';

interface Options extends ConnectionOptions {
  after: number;
  last: number;
  event?: string;
  output?: string;
}

export const addAuditShow: AddCommand = (audit, context) =>
  withConnectionOptions(audit.command('show').description('what happened, oldest first, or its export as JSON lines'))
    .option('--after <n>', 'only what came after entry n', parseWhole(0, Number.MAX_SAFE_INTEGER), 0)
    .option('--last <n>', 'only the newest n', parseWhole(1, 1_000_000), 1_000)
    .option('--event <name>', 'only of this kind: node-enrolled, caller-refused, …')
    .option('-o, --output <file>', 'write all of them to a file as JSON lines, whatever --last says')
    .action(async ({ after, last, event, output, ...connection }: Options) => {
      const { terminal } = context();
      await withOperator(connection, context(), async (operator) => {
        const wanted = async function* () {
          for await (const entry of operator.stream('readAudit', { after: BigInt(after) })) {
            if (event === undefined || entry.event === event) yield entry;
          }
        };
        if (output !== undefined) {
          let written = 0;
          const lines = async function* () {
            for await (const entry of wanted()) {
              written += 1;
              yield `${JSON.stringify(auditJson(entry), asText)}\n`;
            }
          };
          await pipeline(lines, createWriteStream(output, { mode: 0o600 }));
          terminal.result({ written, output });
          terminal.line(`${written} entries in ${output}`);
          return;
        }
        const newest: AuditEntry[] = [];
        for await (const entry of wanted()) {
          newest.push(entry);
          if (newest.length > last) newest.shift();
        }
        terminal.result(newest.map(auditJson));
        terminal.table(auditHead, newest.map(auditRow), 'Nothing is written down.');
      });
    });

const asText = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? value.toString() : value);
