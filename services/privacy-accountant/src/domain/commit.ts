import { AegisError } from '@aegis/errors';
import { type Change, relationOfAll } from './account.ts';
import type { Book, Reservation } from './book.ts';
import { type Charges, sameCharges } from './charges.ts';
import { uncovered } from './coverage.ts';
import type { Fact } from './entry.ts';
import type { Pricing } from './pricing.ts';
import { type Refusal, refusalOf } from './refusal.ts';
import { netChange, settle } from './settle.ts';
import { treeOf } from './tree-run.ts';

export interface Happened {
  readonly id: string;
  /** null: as reserved. */
  readonly events: Charges | null;
  readonly result: string;
  readonly inTheClear: readonly string[];
}

export type CommitAnswer =
  | { readonly outcome: 'committed'; readonly facts: readonly Fact[] }
  | { readonly outcome: 'repeated' }
  | { readonly outcome: 'refused'; readonly refusal: Refusal };

const MOST_CLEAR = 100;

/** What really happened takes the place of what was reserved; what costs more must be covered, or the result must not leave. */
export function commit(book: Book, happened: Happened, pricing: Pricing): CommitAnswer {
  checkHappened(happened);
  const reservation = reservationOf(book, happened.id);
  const charged = happened.events === null ? reservation.asked : settle(reservation.asked, happened.events);
  if (reservation.state === 'released') throw new AegisError('PRIVACY_RESERVATION_RELEASED', `${happened.id}.`);
  if (reservation.state === 'committed') {
    if (reservation.result === happened.result && sameCharges(reservation.events, charged))
      return { outcome: 'repeated' };
    throw new AegisError(
      'PRIVACY_RESERVATION_COMMITTED',
      `${happened.id}: committed before with another result or other events.`,
    );
  }
  const change = netChange(reservation.events, charged);
  demandTheTree(book, reservation, change);
  if (change.add.size > 0) {
    const run = book.runs.get(reservation.runId) ?? null;
    if (run === null) throw new AegisError('INTERNAL', '', new Error(`no run of ${happened.id}`));
    const { policy, budget } = run;
    const units = { known: reservation.units, fresh: [] };
    const shortfalls = uncovered(
      book,
      { policy, budget, run, units, relation: relationOfAll(change.add), change },
      pricing,
    );
    if (shortfalls.length > 0) return { outcome: 'refused', refusal: refusalOf(shortfalls, 0) };
  }
  const { id, result, inTheClear } = happened;
  return { outcome: 'committed', facts: [{ kind: 'committed', id, events: charged, result, inTheClear }] };
}

/** More noise in one round's event would give back what the run's other rounds rest on. */
function demandTheTree(book: Book, { id, runId }: Reservation, { add, remove }: Change): void {
  const run = book.runs.get(runId);
  if (run === undefined || treeOf(run.policy) === null || add.size + remove.size === 0) return;
  throw new AegisError('PRIVACY_EVENT_INVALID', `${id}: a tree is committed as it was reserved, for all its rounds.`);
}

export function reservationOf(book: Book, id: string): Reservation {
  const reservation = book.reservations.get(id);
  if (reservation === undefined)
    throw new AegisError('PRIVACY_RESERVATION_NOT_FOUND', `${JSON.stringify(id.slice(0, 80))}.`);
  return reservation;
}

function checkHappened({ result, inTheClear }: Happened): void {
  if (result === '' || result.length > 200)
    throw new AegisError('PRIVACY_POLICY_INVALID', 'result_digest is missing or longer than 200 characters.');
  if (inTheClear.length > MOST_CLEAR || inTheClear.some((text) => text === '' || text.length > 200))
    throw new AegisError('PRIVACY_POLICY_INVALID', `in_the_clear takes ${MOST_CLEAR} names of 1 to 200 characters.`);
}
