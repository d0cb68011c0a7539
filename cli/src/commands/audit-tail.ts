import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditEntry } from '@aegis/contracts/aegis/operator/v1/operator';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { auditJson, auditRow } from '../present/audit.ts';

const LOOK_EVERY_MS = 1_000;
const FIRST = 10;

export const addAuditTail: AddCommand = (audit, context) =>
  withConnectionOptions(
    audit.command('tail').description('the newest entries, and what comes after them; stays until Ctrl-C'),
  ).action(async (options: ConnectionOptions) => {
    const { terminal, signal } = context();
    await withOperator(options, context(), async (operator) => {
      let [after, isFirst] = [0n, true];
      while (!signal.aborted) {
        const found: AuditEntry[] = [];
        for await (const entry of operator.stream('readAudit', { after })) found.push(entry);
        for (const entry of isFirst ? found.slice(-FIRST) : found) {
          terminal.result(auditJson(entry));
          terminal.line(auditRow(entry).join('  ').trimEnd());
        }
        after = found.at(-1)?.sequence ?? after;
        isFirst = false;
        await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => {});
      }
    });
  });
