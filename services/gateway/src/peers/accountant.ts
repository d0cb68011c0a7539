import {
  LedgerOperatorService,
  LedgerReaderService,
  type Balance as WireBalance,
  ScopeKind as WireKind,
} from '@aegis/contracts/aegis/privacy/v1/privacy';
import { AegisError } from '@aegis/errors';
import type { ServiceChannel } from '@aegis/service-kit';
import type { Balance, Scope, ScopeKind } from '../domain/ledger.ts';
import type { LedgerPeer } from './contract.ts';

/** Verifying reads the whole ledger again. */
const VERIFY_TIMEOUT_MS = 600_000;

/** The privacy accountant, in this process or behind gRPC; null: there is none, and every call says so. */
export const accountantPeer = (channel: ServiceChannel | null): LedgerPeer => {
  if (channel === null) return absent;
  const operator = channel.client(LedgerOperatorService);
  const reader = channel.client(LedgerReaderService);
  return {
    setBudget: async ({ scope, addPartitions, ...edit }) =>
      toBalance(await operator.setBudget({ ...edit, scope: fromScope(scope), addPartitions: [...addPartitions] })),
    listBudgets: async (units) => {
      const { balances, defaults } = await operator.listBudgets({ units });
      return { balances: balances.map(toBalance), defaults: defaults.map(toBalance) };
    },
    watch: async function* (signal) {
      for await (const { balance, ...alert } of reader.watch({}, { signal })) {
        if (balance !== undefined) yield { ...alert, balance: toBalance(balance) };
      }
    },
    verify: () => operator.verify({}, { timeoutMs: VERIFY_TIMEOUT_MS }),
    readEntries: (query) => operator.readEntries(query, { timeoutMs: VERIFY_TIMEOUT_MS }),
    statement: (runId, modelId) => reader.statement({ runId, modelId }),
  };
};

const nobody = (): Promise<never> => Promise.reject(new AegisError('PRIVACY_NOT_SERVED'));
const absent: LedgerPeer = {
  setBudget: nobody,
  listBudgets: nobody,
  // biome-ignore lint/correctness/useYield: it has nothing to tell
  watch: async function* () {
    throw new AegisError('PRIVACY_NOT_SERVED');
  },
  verify: nobody,
  readEntries: nobody,
  statement: nobody,
};

const kinds: Record<ScopeKind, WireKind> = { run: WireKind.RUN, dataset: WireKind.DATASET, unit: WireKind.UNIT };

const fromScope = ({ kind, name }: Scope) => ({ kind: kinds[kind], name });

const toBalance = ({ scope, ...balance }: WireBalance): Balance => {
  const kind = (Object.keys(kinds) as ScopeKind[]).find((known) => kinds[known] === scope?.kind) ?? 'run';
  return { ...balance, scope: { kind, name: scope?.name ?? '' } };
};
