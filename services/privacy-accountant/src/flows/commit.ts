import type { Book } from '../domain/book.ts';
import { type CommitAnswer, commit as decide, reservationOf } from '../domain/commit.ts';
import type { Refusal } from '../domain/refusal.ts';
import type { Ground } from './ground.ts';
import { readCharges } from './read-asked.ts';
import { type Granted, grantedOf } from './reserve.ts';

export interface CommitAsked {
  readonly id: string;
  /** Empty: as reserved. */
  readonly events: readonly string[];
  readonly result: string;
  readonly inTheClear: readonly string[];
}

export type Committed = { readonly committed: Granted } | { readonly refused: Refusal };

/** Only after this resolves as committed may the result leave. */
export function commit(ground: Ground, asked: CommitAsked): Promise<Committed> {
  const { telemetry, accounting, ledger, measures } = ground;
  return telemetry.inSpan('commit', { attributes: { 'aegis.ledger.reservation': asked.id } }, async (span) => {
    const { answer, result } = await ledger.write((book) => {
      const { id, result, inTheClear } = asked;
      const events = asked.events.length === 0 ? null : readCharges(accounting, asked.events, unitOf(book, id));
      const answer = decide(book, { id, events, result, inTheClear }, accounting);
      const facts = answer.outcome === 'committed' ? answer.facts : [];
      return { facts, value: (after) => ({ answer, result: encode(ground, after, id, answer) }) };
    });
    span.setAttribute('aegis.ledger.outcome', answer.outcome);
    measures.operations.add(1, { operation: 'commit', outcome: answer.outcome });
    if ('refused' in result) ground.alerts.refused(result.refused);
    else ground.alerts.charged(result.committed.balances, span);
    return result;
  });
}

const unitOf = (book: Book, id: string): string => book.runs.get(reservationOf(book, id).runId)?.policy.unit ?? '';

const encode = (ground: Ground, book: Book, id: string, answer: CommitAnswer): Committed =>
  answer.outcome === 'refused' ? { refused: answer.refusal } : { committed: grantedOf(ground, book, id) };
