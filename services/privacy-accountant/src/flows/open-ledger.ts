import { AegisError } from '@aegis/errors';
import { Book } from '../domain/book.ts';
import type { KeptEntry, Position, Stores } from '../store/contract.ts';
import { BEGINNING } from '../store/contract.ts';

export interface Opened {
  readonly book: Book;
  readonly position: Position;
}

/**
 * Reads the whole history, checks every page, and holds it against the anchor. PRIVACY_LEDGER_DAMAGED says the first thing that is wrong.
 * `unanchored`: the operator vouches instead. `each` sees every entry before it is applied.
 */
export async function openLedger(
  { history, anchor }: Pick<Stores, 'history' | 'anchor'>,
  options: { unanchored?: boolean; each?: (entry: KeptEntry, book: Book) => void } = {},
): Promise<Opened> {
  const { unanchored = false, each = () => {} } = options;
  const anchored = unanchored ? null : await anchor.read();
  const book = new Book();
  let position = BEGINNING;
  for await (const page of history.read(BEGINNING)) {
    if (page.epoch < book.epoch)
      throw damaged(`page ${page.position.page} is of an earlier writer than the page before it`);
    for (const kept of page.entries) {
      each(kept, book);
      book.apply(kept.entry);
    }
    position = page.position;
    if (anchored?.page === position.page && anchored.head !== position.head)
      throw damaged(`page ${position.page} is not the one that the anchor vouches for`);
  }
  if (anchored !== null && anchored.page > position.page) throw rolledBack(position, anchored);
  // Before the first mark is set nobody was granted anything.
  if (anchored === null && !unanchored && book.runs.size > 0)
    throw damaged(`the anchor of a history of ${position.entries} entries is missing`);
  return { book, position };
}

const rolledBack = (position: Position, anchored: Position): AegisError =>
  damaged(
    `the storage ends with entry ${position.entries} and the anchor vouches for ${anchored.entries}: it was put back to an older state, or lost its end (its head is ${position.head})`,
  );

const damaged = (what: string): AegisError =>
  new AegisError('PRIVACY_LEDGER_DAMAGED', `${what.charAt(0).toUpperCase()}${what.slice(1)}.`);
