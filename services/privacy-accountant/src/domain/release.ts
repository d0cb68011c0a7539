import { AegisError } from '@aegis/errors';
import type { Book } from './book.ts';
import { reservationOf } from './commit.ts';
import type { Fact } from './entry.ts';

/**
 * Gives back what was reserved. Nothing may leave before Commit, and Commit is refused from here on: that is what makes "nothing left"
 * provable here, whatever a paused caller still does. The proof is asked for all the same, and kept.
 */
export function release(book: Book, asked: { id: string; proof: string; reason: string }): readonly Fact[] {
  const { id, proof, reason } = asked;
  const { state } = reservationOf(book, id);
  if (proof !== 'nothing-sealed') throw new AegisError('PRIVACY_RELEASE_UNPROVEN', `${id} stays spent.`);
  if (state === 'committed') throw new AegisError('PRIVACY_RESERVATION_COMMITTED', `${id}.`);
  if (state === 'released') return [];
  return [{ kind: 'released', id, proof, reason: reason.slice(0, 500) }];
}
