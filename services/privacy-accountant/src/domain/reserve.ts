import { AegisError } from '@aegis/errors';
import { relationOfAll } from './account.ts';
import type { Book } from './book.ts';
import type { Budget } from './budget.ts';
import { type Charges, noCharges, withNoise } from './charges.ts';
import { type Concerned, type Proposal, type Shortfall, uncovered } from './coverage.ts';
import type { Fact } from './entry.ts';
import type { Policy } from './policy.ts';
import type { Pricing } from './pricing.ts';
import { type Refusal, refusalOf } from './refusal.ts';
import { isPseudonym } from './scope.ts';
import { demandWithinTree, treeOf } from './tree-run.ts';

export interface Ask {
  readonly key: string;
  /** SHA-256 of everything below. */
  readonly digest: string;
  readonly policy: Policy;
  readonly policyDigest: string;
  readonly units: readonly string[];
  readonly events: Charges;
}

/** What the core says of a whole schedule, at one delta. */
export interface Scheduled {
  readonly delta: number;
  readonly epsilon: number;
  readonly method: string;
}

export type Answer =
  | { readonly outcome: 'granted'; readonly id: string; readonly facts: readonly Fact[] }
  | { readonly outcome: 'repeated'; readonly id: string }
  | { readonly outcome: 'refused'; readonly refusal: Refusal };

const MOST_UNITS = 100_000;
const LONGEST_KEY = 200;

/** What is granted is in `facts`, which count once they are durable. `scheduled`: of a run that begins with this and has a schedule. */
export function reserve(book: Book, ask: Ask, id: string, scheduled: Scheduled | null, pricing: Pricing): Answer {
  checkAsk(ask);
  const known = book.byKey.get(ask.key);
  if (known !== undefined) {
    if (book.reservations.get(known)?.digest === ask.digest) return { outcome: 'repeated', id: known };
    throw new AegisError('PRIVACY_KEY_CONFLICT', `${ask.key}: reserved before as ${known}, with other content.`);
  }
  const { policy, events } = ask;
  const run = book.runs.get(policy.runId) ?? null;
  if (run !== null && run.digest !== ask.policyDigest)
    throw new AegisError('PRIVACY_POLICY_CHANGED', `Run ${policy.runId}.`);
  const budget = run?.budget ?? runBudget(book, policy, pricing);
  const units = concerned(book, ask.units);
  demandDisjoint(book, policy, units);
  const tree = treeOf(policy);
  if (tree !== null) demandWithinTree(book, policy.runId, tree, events, units.known);
  const beginning = run === null ? begin(ask, budget, scheduled) : [];
  const tooDear = run === null ? dearer(book, policy, budget, scheduled) : [];
  const proposal = {
    ...{ policy, budget, run, units },
    relation: relationOfAll(events),
    change: { add: events, remove: noCharges },
  };
  const shortfalls = [...tooDear, ...uncovered(book, proposal, pricing)];
  if (shortfalls.length > 0)
    return {
      outcome: 'refused',
      refusal: refusalOf(shortfalls, tooDear.length > 0 ? 0 : leastNoise(book, proposal, pricing)),
    };
  const fact: Fact = {
    kind: 'reserved',
    ...{ id, key: ask.key, digest: ask.digest, runId: policy.runId, newUnits: units.fresh, events },
    units: numbersOf(book, units),
  };
  return { outcome: 'granted', id, facts: [...beginning, fact] };
}

/** Of a run that has not begun: its own, else what the operator gave it, else the default. */
export function runBudget(book: Book, policy: Policy, pricing: Pricing): Budget {
  const given = book.budgetOf({ kind: 'run', name: policy.runId.toString() });
  const epsilon = policy.epsilon ?? given.epsilon;
  const delta = policy.delta ?? given.delta;
  if (epsilon === given.epsilon && delta === given.delta) return given;
  return { epsilon, delta, order: pricing.orderFor(epsilon, delta) };
}

/** A run that asks for more than the operator gave it, or whose schedule costs more than its budget. */
export function dearer(book: Book, policy: Policy, budget: Budget, scheduled: Scheduled | null): Shortfall[] {
  const scope = { kind: 'run', name: policy.runId.toString() } as const;
  const shortfall = (of: Budget, asked: number): Shortfall => ({
    ...{ scope, partition: '', budget: of, epsilonBefore: 0, epsilonAsked: asked, left: 1, fits: 0 },
  });
  const cap = book.budgets.get(`run:${scope.name}`);
  if (cap !== undefined && (budget.epsilon > cap.epsilon || budget.delta > cap.delta))
    return [shortfall(cap, budget.epsilon)];
  if (scheduled !== null && !(scheduled.epsilon <= budget.epsilon)) return [shortfall(budget, scheduled.epsilon)];
  return [];
}

function begin({ policy, policyDigest }: Ask, budget: Budget, scheduled: Scheduled | null): Fact[] {
  if (policy.schedule !== null && scheduled?.delta !== budget.delta)
    throw new AegisError('UNAVAILABLE', 'The budget of the run was changed this moment.');
  return [
    {
      kind: 'run',
      ...{ policy, digest: policyDigest, ...budget },
      scheduled: scheduled === null ? null : { epsilon: scheduled.epsilon, method: scheduled.method },
    },
  ];
}

export function concerned(book: Book, names: readonly string[]): Concerned {
  const known: number[] = [];
  const fresh: string[] = [];
  for (const name of names) {
    const number = book.unitNumbers.get(name);
    if (number === undefined) fresh.push(name);
    else known.push(number);
  }
  return { known: Int32Array.from(known).sort(), fresh };
}

const numbersOf = (book: Book, { known, fresh }: Concerned): Int32Array => {
  const numbers = new Int32Array(known.length + fresh.length);
  numbers.set(known);
  for (let at = 0; at < fresh.length; at += 1) numbers[known.length + at] = book.unitNames.length + at;
  return numbers;
};

/** Parallel composition holds only where nobody is in two partitions: declared by the operator, and believed until a unit shows otherwise. */
export function demandDisjoint(book: Book, { dataset, partition }: Policy, { known }: Concerned): void {
  if (partition === '') return;
  const { partitions, homes } = book.dataSet(dataset);
  if (!partitions.includes(partition))
    throw new AegisError(
      'PRIVACY_PARTITION',
      `${partition} is not among the partitions of ${dataset}: ${partitions.join(', ') || 'none'}.`,
    );
  for (const unit of known) {
    const home = homes.get(unit);
    if (home !== undefined && home !== partition)
      throw new AegisError(
        'PRIVACY_PARTITION',
        `Unit ${book.unitNames[unit]} is in ${home} of ${dataset} and shows up in ${partition}.`,
      );
  }
}

/** The least noise with which all events of a refused proposal would be covered; 0 when more noise does not help. */
export function leastNoise(book: Book, proposal: Proposal, pricing: Pricing): number {
  const add = [...proposal.change.add];
  const covers = (noise: number): boolean => {
    const events = new Map(add.map(([event, count]) => [withNoise(event, noise), count]));
    return uncovered(book, { ...proposal, change: { ...proposal.change, add: events } }, pricing).length === 0;
  };
  return bisectNoise(covers);
}

export const MOST_NOISE = 1e5;

/** To four digits, rounded up. 0: not even the most helps. */
export function bisectNoise(covers: (noise: number) => boolean): number {
  if (!covers(MOST_NOISE)) return 0;
  let [low, high] = [1e-2, MOST_NOISE];
  while (high / low > 1.0001) {
    const middle = Math.sqrt(low * high);
    if (covers(middle)) high = middle;
    else low = middle;
  }
  return high;
}

function checkAsk({ key, units, events }: Ask): void {
  if (key === '' || key.length > LONGEST_KEY)
    throw new AegisError(
      'PRIVACY_POLICY_INVALID',
      `key is ${key.length} characters long; 1 to ${LONGEST_KEY} are fine.`,
    );
  if (events.size === 0) throw new AegisError('PRIVACY_EVENT_INVALID', 'There is no event to reserve.');
  checkUnits(units);
}

export function checkUnits(units: readonly string[]): void {
  if (units.length === 0)
    throw new AegisError('PRIVACY_UNITS', 'Not one is named; an event that concerns nobody needs no budget.');
  if (units.length > MOST_UNITS)
    throw new AegisError('PRIVACY_UNITS', `${units.length} are named; at most ${MOST_UNITS} at once.`);
  const wrong = units.find((unit) => !isPseudonym(unit));
  if (wrong !== undefined)
    throw new AegisError(
      'PRIVACY_UNITS',
      `${JSON.stringify(wrong.slice(0, 80))} is no pseudonym of 16 to 64 base64url characters.`,
    );
  if (new Set(units).size !== units.length) throw new AegisError('PRIVACY_UNITS', 'One is named twice.');
}
