import { AegisError } from '@aegis/errors';
import { Book } from '../domain/book.ts';
import type { KeptEntry, Page, Position, Snapshot, Stores } from '../store/contract.ts';
import { BEGINNING } from '../store/contract.ts';

export interface Opened {
  readonly book: Book;
  readonly position: Position;
  /** Entries that were not read, as a snapshot says what they add up to. */
  readonly spared: number;
}

export interface Options {
  /** The operator vouches instead of the anchor. */
  readonly unanchored?: boolean;
  /** Where everything is to be read: sees every entry before it is applied. */
  readonly each?: (entry: KeptEntry, book: Book) => void;
  /** Sees the book after each page. */
  readonly page?: (page: Page, book: Book) => void;
  /** A snapshot was of no use, and why. */
  readonly onRefused?: (reason: unknown) => void;
}

type Read = Pick<Stores, 'history' | 'anchor' | 'snapshots'>;

/**
 * Reads the history, checks every page, and holds it against the anchor. PRIVACY_LEDGER_DAMAGED says the first thing that is wrong.
 *
 * What lies before a snapshot is not read, if the snapshot is genuine, the page that it ends with is still there and says the same, and the anchor
 * vouches for as much. Anything else about it is no damage: then everything is read, from the first entry.
 */
export async function openLedger(stores: Read, options: Options = {}): Promise<Opened> {
  const { unanchored = false, each, onRefused = () => {} } = options;
  const anchored = unanchored ? null : await stores.anchor.read();
  if (anchored !== null && each === undefined) {
    try {
      const snapshot = await stores.snapshots.read();
      if (snapshot !== null) return await replay(stores, anchored, options, snapshot);
    } catch (error) {
      if (!isDamage(error)) throw error;
      onRefused(error);
    }
  }
  return replay(stores, anchored, options, null);
}

async function replay(
  { history }: Read,
  anchored: Position | null,
  { unanchored = false, each = () => {}, page: after = () => {} }: Options,
  snapshot: Snapshot | null,
): Promise<Opened> {
  const book = snapshot?.book ?? new Book();
  if (snapshot !== null && (anchored === null || anchored.page < snapshot.position.page))
    throw damaged('the anchor does not vouch for as much as the snapshot');
  let position = snapshot?.before ?? BEGINNING;
  for await (const page of history.read(position)) {
    if (page.epoch < book.epoch && page.position.page !== snapshot?.position.page)
      throw damaged(`page ${page.position.page} is of an earlier writer than the page before it`);
    if (page.position.page === snapshot?.position.page) {
      if (page.position.head !== snapshot.position.head) throw damaged('the snapshot is of another history');
    } else
      for (const kept of page.entries) {
        each(kept, book);
        book.apply(kept.entry);
      }
    position = page.position;
    if (anchored?.page === position.page && anchored.head !== position.head)
      throw damaged(`page ${position.page} is not the one that the anchor vouches for`);
    after(page, book);
  }
  if (anchored !== null && anchored.page > position.page) throw rolledBack(position, anchored);
  // Before the first mark is set nobody was granted anything.
  if (anchored === null && !unanchored && book.runs.size > 0)
    throw damaged(`the anchor of a history of ${position.entries} entries is missing`);
  return { book, position, spared: snapshot?.position.entries ?? 0 };
}

export const isDamage = (error: unknown): error is AegisError =>
  error instanceof AegisError && error.code === 'PRIVACY_LEDGER_DAMAGED';

const rolledBack = (position: Position, anchored: Position): AegisError =>
  damaged(
    `the storage ends with entry ${position.entries} and the anchor vouches for ${anchored.entries}: it was put back to an older state, or lost its end (its head is ${position.head})`,
  );

const damaged = (what: string): AegisError =>
  new AegisError('PRIVACY_LEDGER_DAMAGED', `${what.charAt(0).toUpperCase()}${what.slice(1)}.`);
