import { LedgerReaderService } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { type LocalService, serviceOf } from '@aegis/service-kit';
import type { Ground } from '../flows/ground.ts';
import { spent } from '../flows/spent.ts';
import { PAYLOAD_TYPE, statement } from '../flows/statement.ts';
import { watch } from '../flows/watch.ts';
import { readScope, writeBalance } from './messages.ts';

/** What anybody in the suite may know: balances, statements, alerts. */
export const readerService = (ground: Ground): LocalService =>
  serviceOf(LedgerReaderService, {
    spent: async ({ scopes }) => ({ balances: (await spent(ground, scopes.map(readScope))).map(writeBalance) }),
    statement: async ({ runId, modelId }) => ({
      payloadType: PAYLOAD_TYPE,
      ...(await statement(ground, runId, modelId === '' ? null : modelId)),
    }),
    watch: async function* (_request, { signal }) {
      for await (const { balance, percent, at, detail } of watch(ground, signal))
        yield { balance: writeBalance(balance), percent, at: at / 1000, detail };
    },
  });
