import { relationOfAll } from './account.ts';
import type { EpsilonReport } from './balance.ts';
import type { Book, Reservation, Run } from './book.ts';
import { type Charges, eventTexts, noCharges, plus } from './charges.ts';
import { together } from './tree-run.ts';

/** What a statement is about: everything committed up to a model, or a run as it stands with its open reservations. */
export interface Claim {
  readonly run: Run;
  readonly modelId: string | null;
  readonly events: Charges;
  readonly inTheClear: readonly string[];
  readonly units: number;
}

/** null: no model of that id was committed under this run. */
export function claimOf(book: Book, run: Run, modelId: string | null): Claim | null {
  const all = [...book.reservations.values()].filter(({ runId }) => runId === run.policy.runId);
  // Reservations stand in the order in which they were made; a model rests on whatever was reserved before its own commit, too.
  const end = modelId === null ? all.length : all.findIndex(({ result }) => result === modelId) + 1;
  if (end === 0) return null;
  const counted = all.slice(0, end).filter(({ state }) => state !== 'released');
  if (counted.length === 0) return null;
  return {
    run,
    modelId,
    events: together(
      run.policy,
      counted.reduce((sum: Charges, { events }) => plus(sum, events), noCharges),
    ),
    inTheClear: [...new Set(counted.flatMap(({ inTheClear }) => inTheClear))].sort(),
    units: new Set(counted.flatMap((reservation: Reservation) => [...reservation.units])).size,
  };
}

/**
 * The statement's payload: for machines, and complete enough to be accounted anew by somebody else. The ε of its schedule is of all
 * that the run may let out, and holds however its end or its drop-outs came about; `report` is of what it let out, which holds where they do not
 * depend on its models.
 */
export function statementOf(
  claim: Claim,
  report: EpsilonReport,
  ledger: { sequence: number; head: string; at: number },
): Record<string, unknown> {
  const { run, events } = claim;
  const { policy, budget } = run;
  const relation = relationOfAll(events);
  return {
    version: 1,
    run: policy.runId.toString(),
    model: claim.modelId,
    guarantee: {
      unit: policy.unit,
      relation,
      epsilon: report.epsilon,
      lower: report.lower,
      ...(run.scheduled !== null && { 'epsilon-of-schedule': run.scheduled.epsilon }),
      delta: budget.delta,
      method: report.method,
      composition: policy.schedule === null ? 'renyi-filter' : 'fixed-schedule',
    },
    events: eventTexts(events).map((text) => JSON.parse(text) as unknown),
    sampling: samplingOf(events),
    noise: noiseOfAll(events),
    units: claim.units,
    budget: { epsilon: budget.epsilon, delta: budget.delta },
    dataset: policy.dataset,
    partition: policy.partition === '' ? null : policy.partition,
    covers: claim.inTheClear.length === 0 ? 'everything that left' : 'the model only',
    'in-the-clear': claim.inTheClear,
    ledger: { sequence: ledger.sequence, head: ledger.head },
    'issued-at': new Date(ledger.at).toISOString(),
  };
}

/** Who adds the noise: the server, once, or every node its share; then how many honest ones were counted where it was fewest. */
const noiseOfAll = (events: Charges): unknown[] => {
  const fewest = new Map<string, number>();
  for (const text of events.keys()) {
    const { mechanism, parties = 0 } = JSON.parse(text) as { mechanism: string; parties?: number };
    fewest.set(mechanism, Math.min(fewest.get(mechanism) ?? Number.POSITIVE_INFINITY, parties));
  }
  return [...fewest].sort().map(([mechanism, parties]) => ({
    mechanism,
    ...(parties === 0 ? { by: 'server' } : { by: 'nodes', 'honest-nodes': parties }),
  }));
};

const samplingOf = (events: Charges): unknown[] => {
  const kinds = [...events.keys()].map((event) =>
    JSON.stringify((JSON.parse(event) as { sampling?: unknown }).sampling ?? null),
  );
  return [...new Set(kinds)].map((text) => JSON.parse(text) as unknown);
};
