import {
  adaptiveBalance,
  type Balance,
  dataSetBalance,
  type EpsilonReport,
  mostSpentUnit,
  scheduledBalance,
} from '../domain/balance.ts';
import type { Book, Reservation, Run } from '../domain/book.ts';
import { noCharges } from '../domain/charges.ts';
import type { Ground } from './ground.ts';

/** Of a reservation: its run, its data set, and the most spent of its units. Quick: it is asked with every round. */
export function balancesOf({ accounting }: Ground, book: Book, { runId, units }: Reservation): Balance[] {
  const run = book.runs.get(runId);
  if (run === undefined) return [];
  const unit = mostSpentUnit(book, units, accounting);
  return [
    quickRunBalance(run, accounting),
    dataSetBalance(book, run.policy.dataset, accounting),
    ...(unit === null ? [] : [unit]),
  ];
}

const quickRunBalance = (run: Run, accounting: Ground['accounting']): Balance =>
  run.policy.schedule === null
    ? adaptiveBalance(run, accounting)
    : scheduledBalance(run, accounting.quickEpsilonOf(chargesOf(run), run.budget.delta));

/** As tight as it is known; takes its time. */
export async function runBalance({ accounting }: Ground, run: Run): Promise<Balance> {
  if (run.policy.schedule === null) return adaptiveBalance(run, accounting);
  const charges = chargesOf(run);
  const nothing: EpsilonReport = { epsilon: 0, lower: 0, method: '' };
  return scheduledBalance(run, charges.size === 0 ? nothing : await accounting.epsilonOf(charges, run.budget.delta));
}

const chargesOf = (run: Run) => run.account?.charges ?? noCharges;
