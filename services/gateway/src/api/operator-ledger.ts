import type { OperatorService } from '@aegis/contracts/aegis/operator/v1/operator';
import {
  type Balance as WireBalance,
  ScopeKind as WireKind,
  type Scope as WireScope,
} from '@aegis/contracts/aegis/privacy/v1/privacy';
import { AegisError } from '@aegis/errors';
import type { HandlersOf } from '@aegis/service-kit';
import type { AuditEvent } from '../domain/audit.ts';
import type { Balance, Scope, ScopeKind } from '../domain/ledger.ts';
import {
  listBudgets,
  privacyStatement,
  readLedger,
  setBudget,
  verifyLedger,
  watchBudgets,
} from '../flows/ask-ledger.ts';
import type { Gateway } from '../flows/gateway.ts';

type LedgerCalls = 'setBudget' | 'listBudgets' | 'watchBudgets' | 'verifyLedger' | 'readLedger' | 'privacyStatement';

/** The part of the operator's door behind which the privacy ledger stands. */
export const ledgerHandlers = (
  gateway: Gateway,
  did: (caller: string, event: AuditEvent, subject: string, detail: string) => Promise<void>,
): Pick<HandlersOf<typeof OperatorService>, LedgerCalls> => ({
  setBudget: async ({ scope, ...edit }, { caller }) => {
    const balance = await setBudget(gateway, { ...edit, scope: readScope(scope) });
    const { kind, name } = balance.scope;
    await did(caller, 'budget-set', `${kind} ${name}`, `epsilon ${edit.epsilon} delta ${edit.delta}`);
    return encodeBalance(balance);
  },
  listBudgets: async ({ units }) => {
    const { balances, defaults } = await listBudgets(gateway, units);
    return { balances: balances.map(encodeBalance), defaults: defaults.map(encodeBalance) };
  },
  watchBudgets: async function* (_request, { signal }) {
    for await (const { balance, ...alert } of watchBudgets(gateway, signal))
      yield { ...alert, balance: encodeBalance(balance) };
  },
  verifyLedger: async () => {
    const { findings, ...verdict } = await verifyLedger(gateway);
    return { ...verdict, findings: [...findings] };
  },
  readLedger: async (query) => {
    const { entries, next } = await readLedger(gateway, query);
    return { entries: [...entries], next };
  },
  privacyStatement: async ({ runId, modelId }, { caller }) => {
    const statement = await privacyStatement(gateway, runId, modelId);
    await did(caller, 'statement-made', `run ${runId}`, modelId === '' ? 'as it stands' : `model ${modelId}`);
    return statement;
  },
});

const kinds: Record<ScopeKind, WireKind> = { run: WireKind.RUN, dataset: WireKind.DATASET, unit: WireKind.UNIT };

function readScope(scope: WireScope | undefined): Scope {
  const kind = (Object.keys(kinds) as ScopeKind[]).find((known) => kinds[known] === scope?.kind);
  if (scope === undefined || kind === undefined)
    throw new AegisError('REQUEST_MALFORMED', 'scope.kind is missing; it is run, dataset or unit.');
  return { kind, name: scope.name };
}

const encodeBalance = ({ scope, ...balance }: Balance): WireBalance => ({
  ...balance,
  scope: { kind: kinds[scope.kind], name: scope.name },
});
