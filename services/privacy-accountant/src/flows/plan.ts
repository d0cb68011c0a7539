import { AegisError } from '@aegis/errors';
import { relationOfAll } from '../domain/account.ts';
import { type Balance, balancesAfter } from '../domain/balance.ts';
import type { Book } from '../domain/book.ts';
import type { Budget } from '../domain/budget.ts';
import { type Charges, eventTexts, noCharges, noiseOf, readEvents, withNoise } from '../domain/charges.ts';
import { type Proposal, type Shortfall, uncovered } from '../domain/coverage.ts';
import { type AskedPolicy, type Policy, readPolicy } from '../domain/policy.ts';
import { type Refusal, refusalOf } from '../domain/refusal.ts';
import {
  bisectNoise,
  checkUnits,
  concerned,
  dearer,
  demandDisjoint,
  MOST_NOISE,
  runBudget,
} from '../domain/reserve.ts';
import type { Ground } from './ground.ts';
import { readCharges } from './read-asked.ts';

export interface Planned {
  readonly granted: boolean;
  /** Filled into events that had none; 0: none lacked it. */
  readonly noise: number;
  readonly schedule: readonly string[];
  readonly balances: readonly Balance[];
  readonly refusal: Refusal | null;
}

/** What all of a run would cost, and whether it fits now. Keeps nothing. */
export function plan(ground: Ground, asked: AskedPolicy, units: readonly string[]): Promise<Planned> {
  const attributes = { 'aegis.run': asked.runId.toString() };
  return ground.telemetry.inSpan('plan', { attributes }, async (span) => {
    const planned = await calculate(ground, asked, units);
    span.setAttribute('aegis.ledger.outcome', planned.granted ? 'granted' : 'refused');
    ground.measures.operations.add(1, { operation: 'plan', outcome: planned.granted ? 'granted' : 'refused' });
    return planned;
  });
}

async function calculate(ground: Ground, asked: AskedPolicy, units: readonly string[]): Promise<Planned> {
  const { ledger, accounting } = ground;
  const policy = readPolicy(asked);
  if (policy.schedule === null)
    throw new AegisError('PRIVACY_POLICY_INVALID', 'A plan needs a schedule to be planned with.');
  if (units.length > 0) checkUnits(units);
  const { budget, copy } = await ledger.read((book) => ({ budget: runBudget(book, policy, accounting), copy: book }));
  const lacking = [...policy.schedule.keys()].some((event) => noiseOf(event) === null);
  const noise = lacking ? await leastNoise(ground, copy, policy, budget, units) : 0;
  const schedule = readCharges(accounting, eventTexts(filledIn(policy.schedule, noise)), policy.unit);
  return judge(ground, { ...policy, schedule }, units, noise);
}

/** The larger of what the run's own budget asks for, by the tightest accounting, and what every other scope does, by its filter. */
async function leastNoise(
  ground: Ground,
  book: Book,
  policy: Policy,
  budget: Budget,
  units: readonly string[],
): Promise<number> {
  const { accounting } = ground;
  const schedule = policy.schedule ?? noCharges;
  const forRun = await accounting.noiseFor(eventTexts(schedule), budget.epsilon, budget.delta);
  const forOthers = bisectNoise((noise) => {
    const filled = readEvents(accounting.check(eventTexts(filledIn(schedule, noise))), policy.unit);
    return uncovered(book, proposalOf(book, { ...policy, schedule: filled }, budget, units), accounting).length === 0;
  });
  // Where no noise is enough, the most that is tried shows what is missing.
  return forOthers === 0 || forRun > MOST_NOISE ? MOST_NOISE : Math.max(forRun, forOthers);
}

async function judge(ground: Ground, policy: Policy, units: readonly string[], noise: number): Promise<Planned> {
  const { ledger, accounting } = ground;
  const schedule = policy.schedule ?? noCharges;
  const delta = await ledger.read((book) => runBudget(book, policy, accounting).delta);
  const report = await accounting.epsilonOf(schedule, delta);
  return ledger.read((book) => {
    const budget = runBudget(book, policy, accounting);
    demandDisjoint(book, policy, concerned(book, units));
    const shortfalls: Shortfall[] = [
      ...dearer(book, policy, budget, { delta, ...report }),
      ...uncovered(book, proposalOf(book, policy, budget, units), accounting),
    ];
    const granted = shortfalls.length === 0;
    return {
      granted,
      noise,
      schedule: eventTexts(schedule),
      balances: granted ? balancesAfter(book, proposalOf(book, policy, budget, units), report, accounting) : [],
      refusal: granted ? null : refusalOf(shortfalls, 0),
    };
  });
}

const filledIn = (schedule: Charges, noise: number): Charges =>
  new Map([...schedule].map(([event, count]) => [noiseOf(event) === null ? withNoise(event, noise) : event, count]));

const proposalOf = (book: Book, policy: Policy, budget: Budget, units: readonly string[]): Proposal => {
  const add = policy.schedule ?? noCharges;
  const run = book.runs.get(policy.runId) ?? null;
  const change = { add, remove: noCharges };
  // whoever may come has at least spent nothing
  const who = units.length === 0 ? { known: new Int32Array(), fresh: [''] } : concerned(book, units);
  return { policy, budget, run, units: who, relation: relationOfAll(add), change };
};
