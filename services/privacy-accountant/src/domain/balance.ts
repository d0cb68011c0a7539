import { type Account, changed, openAccount, spentOf } from './account.ts';
import type { Book, Run } from './book.ts';
import type { Budget } from './budget.ts';
import type { Proposal } from './coverage.ts';
import type { Pricing } from './pricing.ts';
import type { Scope } from './scope.ts';

/** What one scope has spent and may spend. Reservations count as spent. */
export interface Balance {
  readonly scope: Scope;
  /** Of a data set: its most spent partition; '' = none. */
  readonly partition: string;
  readonly budget: Budget;
  /** An upper bound. */
  readonly epsilon: number;
  /** Share of the budget, as the hard stop counts it. */
  readonly used: number;
  readonly composition: 'fixed-schedule' | 'renyi-filter';
  readonly method: string;
  /** Reservations of a run or a data set; 0 for units. */
  readonly reserved: number;
  readonly committed: number;
}

/** What the core says about what a scheduled run has let out so far. */
export interface EpsilonReport {
  readonly epsilon: number;
  readonly lower: number;
  readonly method: string;
}

export function scheduledBalance(
  run: Pick<Run, 'policy' | 'budget' | 'reserved' | 'committed'>,
  report: EpsilonReport,
): Balance {
  const { reserved, committed, budget } = run;
  return {
    scope: { kind: 'run', name: run.policy.runId.toString() },
    ...{ partition: '', budget, reserved, committed },
    epsilon: report.epsilon,
    used: Math.min(1, report.epsilon / budget.epsilon),
    composition: 'fixed-schedule',
    method: report.method,
  };
}

export function adaptiveBalance(run: Run, pricing: Pricing): Balance {
  const { reserved, committed, budget, policy } = run;
  const scope: Scope = { kind: 'run', name: policy.runId.toString() };
  return { ...filterBalance(scope, run.account, 0, budget, pricing), reserved, committed };
}

export function dataSetBalance(book: Book, name: string, pricing: Pricing): Balance {
  const { whole, parts, reserved, committed } = book.dataSet(name);
  const scope: Scope = { kind: 'dataset', name };
  const most = [...parts].sort(([, a], [, b]) => spentOf(b, pricing) - spentOf(a, pricing))[0];
  const beside = most === undefined ? 0 : spentOf(most[1], pricing);
  const account = whole ?? (most === undefined ? null : { ...most[1], charges: new Map() });
  const balance = filterBalance(scope, account, beside, book.budgetOf(scope), pricing);
  return { ...balance, partition: most?.[0] ?? '', reserved, committed };
}

export function unitBalance(book: Book, name: string, pricing: Pricing): Balance {
  const account = book.units[book.unitNumbers.get(name) ?? -1] ?? null;
  const scope: Scope = { kind: 'unit', name };
  return filterBalance(scope, account, 0, book.budgetOf(scope), pricing);
}

/** Of these units, by number, the one that has used most of its budget; null: there is none. */
export function mostSpentUnit(book: Book, units: Iterable<number>, pricing: Pricing): Balance | null {
  let most: { name: string; used: number } | null = null;
  const seen = new Set<Account>();
  const own = [...book.budgets.keys()].some((key) => key.startsWith('unit:'));
  const common = book.budgetOf({ kind: 'unit', name: '' });
  for (const unit of units) {
    const account = book.units[unit];
    // units with one past differ by nothing but a budget of their own
    if (account === undefined || (!own && seen.has(account))) continue;
    seen.add(account);
    const name = book.unitNames[unit] as string;
    const { epsilon, delta } = own ? book.budgetOf({ kind: 'unit', name }) : common;
    const used = shareOf(spentOf(account, pricing), pricing.allowance(account.order, epsilon, delta));
    if (most === null || used > most.used) most = { name, used };
  }
  return most === null ? null : unitBalance(book, most.name, pricing);
}

/** NaN is as good as everything. */
const shareOf = (spent: number, allowance: number): number =>
  spent === 0 ? 0 : spent < allowance ? spent / allowance : 1;

export function defaultBalance(book: Book, kind: Scope['kind']): Balance {
  const scope: Scope = { kind, name: '' };
  const nothing = { epsilon: 0, used: 0, reserved: 0, committed: 0, partition: '', method: '' };
  return { scope, budget: book.budgetOf(scope), composition: 'renyi-filter', ...nothing };
}

/** What a covered proposal with a schedule would leave: of the run, of the data set, of the most spent of its units. */
export function balancesAfter(book: Book, proposal: Proposal, report: EpsilonReport, pricing: Pricing): Balance[] {
  const { policy, budget, units, relation, change } = proposal;
  const run = { policy, budget, reserved: 0, committed: 0 };
  const after = (account: Account | null | undefined, order: number): Account =>
    changed(account ?? openAccount(order, policy.unit, relation), change);
  const set = book.dataSet(policy.dataset);
  const own = policy.partition === '' ? set.whole : set.parts.get(policy.partition);
  const others = policy.partition === '' ? [...set.parts.values()] : set.whole === null ? [] : [set.whole];
  const beside = Math.max(0, ...others.map((account) => spentOf(account, pricing)));
  const dataset: Scope = { kind: 'dataset', name: policy.dataset };
  const balances = [
    scheduledBalance(run, report),
    {
      ...filterBalance(dataset, after(own, book.dataSetOrder(policy.dataset)), beside, book.budgetOf(dataset), pricing),
      partition: policy.partition,
    },
  ];
  const named = [...units.fresh, ...[...units.known].map((unit) => book.unitNames[unit] as string)];
  const ofUnits = named.map((name) => {
    const scope: Scope = { kind: 'unit', name };
    const unitBudget = book.budgetOf(scope);
    const account = after(book.units[book.unitNumbers.get(name) ?? -1], unitBudget.order);
    return filterBalance(scope, account, 0, unitBudget, pricing);
  });
  const most = ofUnits.reduce<Balance | null>(
    (found, one) => (found === null || one.used > found.used ? one : found),
    null,
  );
  return most === null ? balances : [...balances, most];
}

function filterBalance(
  scope: Scope,
  account: Account | null,
  beside: number,
  budget: Budget,
  pricing: Pricing,
): Balance {
  const order = account?.order ?? budget.order;
  const spent = (account === null ? 0 : spentOf(account, pricing)) + beside;
  const allowance = pricing.allowance(order, budget.epsilon, budget.delta);
  return {
    ...{ scope, partition: '', budget, reserved: 0, committed: 0 },
    epsilon: spent === 0 ? 0 : pricing.epsilon(order, spent, budget.delta),
    used: shareOf(spent, allowance),
    composition: 'renyi-filter',
    method: `rdp at order ${order}`,
  };
}
