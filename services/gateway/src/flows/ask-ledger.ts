import type {
  Balance,
  BudgetAlert,
  BudgetEdit,
  Budgets,
  LedgerEntries,
  LedgerVerdict,
  PrivacyStatement,
} from '../domain/ledger.ts';
import type { Gateway } from './gateway.ts';

// What the operator asks of the privacy ledger: the accountant decides, this only passes on and says in the log who changed what.

export const setBudget = async (gateway: Gateway, edit: BudgetEdit): Promise<Balance> => {
  const balance = await gateway.ledger.setBudget(edit);
  gateway.log.info({ ...edit.scope, epsilon: edit.epsilon, delta: balance.delta }, 'the operator set a privacy budget');
  return balance;
};

export const listBudgets = (gateway: Gateway, units: boolean): Promise<Budgets> => gateway.ledger.listBudgets(units);

export const watchBudgets = (gateway: Gateway, signal: AbortSignal): AsyncIterable<BudgetAlert> =>
  gateway.ledger.watch(signal);

export const verifyLedger = (gateway: Gateway): Promise<LedgerVerdict> => gateway.ledger.verify();

export const readLedger = (
  gateway: Gateway,
  query: { after: bigint; limit: number; runId: bigint },
): Promise<LedgerEntries> => gateway.ledger.readEntries(query);

/** PRIVACY_NOTHING_SPENT when the ledger knows of nothing. */
export const privacyStatement = (gateway: Gateway, runId: bigint, modelId: string): Promise<PrivacyStatement> =>
  gateway.ledger.statement(runId, modelId);
