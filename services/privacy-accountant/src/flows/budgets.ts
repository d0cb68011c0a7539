import { type Balance, dataSetBalance, defaultBalance, unitBalance } from '../domain/balance.ts';
import type { Book } from '../domain/book.ts';
import { SCOPE_KINDS, type Scope } from '../domain/scope.ts';
import { type BudgetEdit, setBudget as decide } from '../domain/set-budget.ts';
import type { Ground } from './ground.ts';
import { spent } from './spent.ts';

/** Gives a scope, or a kind of scope, another budget; what is spent stays spent. */
export async function setBudget(ground: Ground, edit: BudgetEdit): Promise<Balance> {
  const { ledger, accounting, log, measures } = ground;
  const balance = await ledger.write((book) => ({
    facts: [decide(book, edit, accounting)],
    value: (after) => balanceOf(ground, after, edit.scope),
  }));
  measures.operations.add(1, { operation: 'set-budget', outcome: 'granted' });
  const { epsilon, delta } = balance.budget;
  log.info({ ...edit.scope, epsilon, delta, partitions: edit.addPartitions }, 'a privacy budget was set');
  return balance;
}

export async function listBudgets(
  ground: Ground,
  units: boolean,
): Promise<{ balances: Balance[]; defaults: Balance[] }> {
  const { ledger, accounting } = ground;
  const listed = await spent(ground, []);
  const { defaults, every } = await ledger.read((book) => ({
    defaults: SCOPE_KINDS.map((kind) => defaultBalance(book, kind)),
    every: [
      ...ownBudgets(book)
        .filter(
          (scope) =>
            scope.kind !== 'run' &&
            !listed.some((one) => one.scope.kind === scope.kind && one.scope.name === scope.name),
        )
        .map((scope) => balanceOf(ground, book, scope)),
      ...(units ? book.unitNames.map((name) => unitBalance(book, name, accounting)) : []),
    ],
  }));
  return {
    balances: [...(units ? listed.filter(({ scope }) => scope.kind !== 'unit') : listed), ...unlisted(every)],
    defaults,
  };
}

/** A scope that was given a budget is listed although nothing is spent in it. */
const ownBudgets = (book: Book): Scope[] =>
  [...book.budgets.keys()].map((key) => {
    const at = key.indexOf(':');
    return { kind: key.slice(0, at) as Scope['kind'], name: key.slice(at + 1) };
  });

const unlisted = (balances: readonly Balance[]): Balance[] => [
  ...new Map(balances.map((balance) => [`${balance.scope.kind}:${balance.scope.name}`, balance])).values(),
];

function balanceOf({ accounting }: Ground, book: Book, scope: Scope): Balance {
  if (scope.name === '' || scope.kind === 'run')
    return { ...defaultBalance(book, scope.kind), scope, budget: book.budgetOf(scope) };
  return scope.kind === 'dataset'
    ? dataSetBalance(book, scope.name, accounting)
    : unitBalance(book, scope.name, accounting);
}
