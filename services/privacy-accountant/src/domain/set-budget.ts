import { AegisError } from '@aegis/errors';
import { type Account, spentOf } from './account.ts';
import type { Book } from './book.ts';
import { type Budget, checkBudget } from './budget.ts';
import type { Fact } from './entry.ts';
import type { Pricing } from './pricing.ts';
import { checkScope, isName, type Scope, scopeKey } from './scope.ts';

export interface BudgetEdit {
  readonly scope: Scope;
  readonly epsilon: number;
  /** null: as it is. */
  readonly delta: number | null;
  readonly addPartitions: readonly string[];
}

/** A budget may grow, and shrink down to what is spent. It never makes something unspent. */
export function setBudget(book: Book, edit: BudgetEdit, pricing: Pricing): Fact {
  const { scope, epsilon } = edit;
  checkScope(scope);
  const before = book.budgetOf(scope);
  const delta = edit.delta ?? before.delta;
  checkBudget(scope.kind, epsilon, delta);
  if (scope.kind === 'run' && scope.name !== '' && book.runs.has(BigInt(scope.name)))
    throw new AegisError('PRIVACY_BUDGET_EDIT', `Run ${scope.name} has begun; its budget is fixed.`);
  const partitions = checkPartitions(book, edit);
  const used = usedUnder(book, scope);
  const order = used[0]?.account.order ?? pricing.orderFor(epsilon, delta);
  // Raising delta alone would make every epsilon spent so far smaller.
  if (used.length > 0 && delta > before.delta)
    throw new AegisError(
      'PRIVACY_BUDGET_EDIT',
      `delta is ${before.delta} and something is spent under it; it can only shrink.`,
    );
  for (const one of used) demandCovered(one, { epsilon, delta, order }, pricing);
  return { kind: 'budget', scope, epsilon, delta, order, partitions };
}

/** What was charged in one place, and what was charged beside it to the same people. */
interface Used {
  readonly account: Account;
  readonly beside: Account | null;
}

function demandCovered({ account, beside }: Used, budget: Budget, pricing: Pricing): void {
  const spent = spentOf(account, pricing) + (beside === null ? 0 : spentOf(beside, pricing));
  if (spent <= pricing.allowance(account.order, budget.epsilon, budget.delta)) return;
  const least = pricing.epsilon(account.order, spent, budget.delta);
  throw new AegisError(
    'PRIVACY_BUDGET_EDIT',
    `epsilon ${Number(least.toPrecision(4))} (delta ${budget.delta}) is spent already; ${budget.epsilon} is less.`,
  );
}

/** Whatever was charged under this budget so far: of a default, in every scope that has none of its own. */
function usedUnder(book: Book, scope: Scope): Used[] {
  if (scope.kind === 'run') return [];
  if (scope.kind === 'dataset')
    return namesUnder(book, scope, book.dataSets.keys()).flatMap((name) => ofDataSet(book, name));
  const numbers = namesUnder(book, scope, book.unitNames).map((name) => book.unitNumbers.get(name) ?? -1);
  const accounts = new Set(numbers.map((number) => book.units[number]).filter((account) => account !== undefined));
  return [...accounts].map((account) => ({ account, beside: null }));
}

const namesUnder = (book: Book, { kind, name }: Scope, all: Iterable<string>): string[] =>
  name !== '' ? [name] : [...all].filter((one) => !book.budgets.has(scopeKey({ kind, name: one })));

function ofDataSet(book: Book, name: string): Used[] {
  const { whole, parts } = book.dataSet(name);
  const inParts = [...parts.values()].map((account) => ({ account, beside: whole }));
  return whole === null ? inParts : [{ account: whole, beside: null }, ...inParts];
}

function checkPartitions(book: Book, { scope, addPartitions }: BudgetEdit): readonly string[] {
  if (addPartitions.length === 0) return [];
  if (scope.kind !== 'dataset' || scope.name === '')
    throw new AegisError('PRIVACY_POLICY_INVALID', 'Only a named data set has partitions.');
  const wrong = addPartitions.find((name) => !isName(name));
  if (wrong !== undefined)
    throw new AegisError('PRIVACY_POLICY_INVALID', `${JSON.stringify(wrong)} is no name of a partition.`);
  const { partitions } = book.dataSet(scope.name);
  return [...new Set(addPartitions)].filter((name) => !partitions.includes(name));
}
