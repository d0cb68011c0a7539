import { LedgerOperatorService } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { type LocalService, serviceOf } from '@aegis/service-kit';
import { listBudgets, setBudget } from '../flows/budgets.ts';
import type { Ground } from '../flows/ground.ts';
import { readEntries } from '../flows/read-entries.ts';
import { verify } from '../flows/verify.ts';
import { readScope, writeBalance } from './messages.ts';

/** What the operator asks, through the gateway. */
export const operatorService = (ground: Ground): LocalService =>
  serviceOf(LedgerOperatorService, {
    setBudget: async ({ scope, epsilon, delta, addPartitions }) =>
      writeBalance(
        await setBudget(ground, { scope: readScope(scope), epsilon, delta: delta === 0 ? null : delta, addPartitions }),
      ),
    listBudgets: async ({ units }) => {
      const { balances, defaults } = await listBudgets(ground, units);
      return { balances: balances.map(writeBalance), defaults: defaults.map(writeBalance) };
    },
    verify: async () => {
      const { sound, entries, head, anchored, findings } = await verify(ground);
      return { sound, entries: BigInt(entries), head, anchored: BigInt(anchored), findings: [...findings] };
    },
    readEntries: async ({ after, limit, runId }) => {
      const { entries, next } = await readEntries(ground, { after: Number(after), limit, runId });
      return {
        entries: entries.map(({ sequence, hash, entry, text }) => ({
          sequence: BigInt(sequence),
          at: entry.at / 1000,
          hash,
          content: text,
        })),
        next: BigInt(next),
      };
    },
  });
