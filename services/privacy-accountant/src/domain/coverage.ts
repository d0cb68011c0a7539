import { type Account, type Change, changed, demandSame, openAccount, spentOf } from './account.ts';
import type { Book, Run } from './book.ts';
import type { Budget } from './budget.ts';
import { type Charges, minus, noiseOf, shapeOf } from './charges.ts';
import type { Policy } from './policy.ts';
import type { Pricing } from './pricing.ts';
import type { Scope } from './scope.ts';
import { newlyCharged, treeOf } from './tree-run.ts';

/** A scope that does not cover what is asked. */
export interface Shortfall {
  readonly scope: Scope;
  readonly partition: string;
  readonly budget: Budget;
  readonly epsilonBefore: number;
  readonly epsilonAsked: number;
  /** Share of the budget. */
  readonly left: number;
  /** How often what is asked would still fit here. */
  readonly fits: number;
}

/** Who is concerned: by number, and those that have none yet. */
export interface Concerned {
  readonly known: Int32Array;
  readonly fresh: readonly string[];
}

/** Everything of one change: the run it belongs to, whom it concerns, in what way. */
export interface Proposal {
  readonly policy: Policy;
  readonly budget: Budget;
  readonly run: Run | null;
  readonly units: Concerned;
  readonly relation: string;
  readonly change: Change;
}

/** The scopes that do not cover a change; none: it is covered. Of units the one that is furthest from it. */
export function uncovered(book: Book, proposal: Proposal, pricing: Pricing): Shortfall[] {
  const { run, policy, units } = proposal;
  const tree = run === null ? null : treeOf(policy);
  const charged = tree === null ? null : newlyCharged(book, policy.runId, units.known);
  const ofAll = charged?.opens === false ? [] : [ofRun(proposal, pricing), ofDataSet(book, proposal, pricing)];
  const concerned = charged === null ? proposal : { ...proposal, units: { ...units, known: charged.units } };
  return [...ofAll, ofUnits(book, concerned, pricing)].filter((shortfall) => shortfall !== null);
}

function ofRun({ policy, budget, run, relation, change }: Proposal, pricing: Pricing): Shortfall | null {
  const scope: Scope = { kind: 'run', name: policy.runId.toString() };
  if (policy.schedule === null) {
    const account = run?.account ?? openAccount(budget.order, policy.unit, relation);
    demandSame(account, policy.unit, relation, `Run ${policy.runId}`);
    return filtered(scope, '', account, budget, change, 0, pricing);
  }
  // Its epsilon is that of the whole schedule, checked before the run began: what is left of it is a matter of counting.
  const rest = run === null ? policy.schedule : (minus(policy.schedule, run.consumed) ?? new Map());
  if (isMilder(change) || minus(rest, change.add) !== undefined) return null;
  const epsilon = run?.scheduled?.epsilon ?? 0;
  const fits = repetitions(rest, change.add);
  const left = share(rest, policy.schedule);
  return { scope, partition: '', budget, epsilonBefore: epsilon, epsilonAsked: epsilon, left, fits };
}

function ofDataSet(book: Book, proposal: Proposal, pricing: Pricing): Shortfall | null {
  const { policy, relation, change } = proposal;
  const scope: Scope = { kind: 'dataset', name: policy.dataset };
  const { whole, parts } = book.dataSet(policy.dataset);
  const order = book.dataSetOrder(policy.dataset);
  const budget = book.budgetOf(scope);
  const empty = openAccount(order, policy.unit, relation);
  for (const account of [whole, ...parts.values()])
    if (account !== null) demandSame(account, policy.unit, relation, `Data set ${policy.dataset}`);
  // A unit of a partition has what was charged to the partition and what was charged to everybody; nobody is in two partitions.
  if (policy.partition !== '') {
    const base = whole === null ? 0 : spentOf(whole, pricing);
    return filtered(scope, policy.partition, parts.get(policy.partition) ?? empty, budget, change, base, pricing);
  }
  const [name, most] = [...parts].reduce<[string, number]>(
    (found, [part, account]) => (spentOf(account, pricing) > found[1] ? [part, spentOf(account, pricing)] : found),
    ['', 0],
  );
  return filtered(scope, name, whole ?? empty, budget, change, most, pricing);
}

function ofUnits(book: Book, proposal: Proposal, pricing: Pricing): Shortfall | null {
  const { policy, units, relation, change } = proposal;
  const own = [...book.budgets.keys()].some((key) => key.startsWith('unit:'));
  const common = book.budgetOf({ kind: 'unit', name: '' });
  let worst: Shortfall | null = null;
  const looked = new Map<Budget, Set<Account>>();
  const look = (name: string, account: Account | undefined): void => {
    const budget = own ? book.budgetOf({ kind: 'unit', name }) : common;
    const at = account ?? emptyAt(budget.order);
    const seen = looked.get(budget) ?? new Set();
    // units with one past have one answer
    if (seen.has(at)) return;
    looked.set(budget, seen.add(at));
    demandSame(at, policy.unit, relation, `Unit ${name}`);
    const shortfall = filtered({ kind: 'unit', name }, '', at, budget, change, 0, pricing);
    if (shortfall !== null && (worst === null || shortfall.left < worst.left)) worst = shortfall;
  };
  const empties = new Map<number, Account>();
  const emptyAt = (order: number): Account => {
    const empty = empties.get(order) ?? openAccount(order, policy.unit, relation);
    empties.set(order, empty);
    return empty;
  };
  for (const unit of units.known) look(book.unitNames[unit] as string, book.units[unit]);
  for (const name of units.fresh) look(name, undefined);
  return worst;
}

/** The Renyi filter at one scope; `base` is spent beside the account, at the same order. */
function filtered(
  scope: Scope,
  partition: string,
  account: Account,
  budget: Budget,
  change: Change,
  base: number,
  pricing: Pricing,
): Shortfall | null {
  const { order } = account;
  const before = spentOf(account, pricing) + base;
  const after = spentOf(changed(account, change), pricing) + base;
  const allowance = pricing.allowance(order, budget.epsilon, budget.delta);
  // Written so that a NaN covers nothing. What costs no more than before is covered by what was granted before.
  if (after <= allowance || after <= before) return null;
  const cost = after - before;
  return {
    scope,
    partition,
    budget,
    epsilonBefore: pricing.epsilon(order, before, budget.delta),
    epsilonAsked: pricing.epsilon(order, after, budget.delta),
    left: allowance > 0 ? Math.max(0, 1 - before / allowance) : 0,
    fits: cost > 0 && allowance > before ? Math.floor((allowance - before) / cost) : 0,
  };
}

/** Nothing is added but events that take the place of others with no more noise. */
export function isMilder({ add, remove }: Change): boolean {
  const shapes = new Set([...add.keys()].map(shapeOf));
  return [...shapes].every((shape) => {
    const [inn, out] = [add, remove].map((charges) => [...charges].filter(([event]) => shapeOf(event) === shape));
    const sum = (of: typeof inn): number => (of ?? []).reduce((total, [, count]) => total + count, 0);
    const noises = (of: typeof inn): number[] => (of ?? []).map(([event]) => noiseOf(event) ?? Number.NaN);
    return sum(inn) <= sum(out) && Math.min(...noises(inn)) >= Math.max(...noises(out));
  });
}

const repetitions = (rest: Charges, asked: Charges): number =>
  Math.min(...[...asked].map(([event, count]) => Math.floor((rest.get(event) ?? 0) / count)));

const share = (rest: Charges, schedule: Charges): number => {
  const sum = (charges: Charges): number => [...charges.values()].reduce((total, count) => total + count, 0);
  return sum(rest) / sum(schedule);
};
