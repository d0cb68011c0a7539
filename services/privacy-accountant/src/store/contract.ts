// What the accountant keeps: one history, who may write it, and a mark of it in another place. Every implementation passes store/conformance.ts.
import type { Book } from '../domain/book.ts';
import type { Entry } from '../domain/entry.ts';

export interface Stores {
  readonly history: History;
  readonly lease: WriterLease;
  readonly anchor: Anchor;
  readonly snapshots: Snapshots;
  close(): Promise<void>;
}

/** A place in the history: after so many pages and entries, whose chain ends in `head`. */
export interface Position {
  readonly page: number;
  readonly entries: number;
  /** Hash of the newest entry, chained over all before it; 64 hexadecimal characters. */
  readonly head: string;
}

export const BEGINNING: Position = { page: 0, entries: 0, head: '0'.repeat(64) };

/** Entries that became durable together. */
export interface Page {
  /** After it. */
  readonly position: Position;
  readonly epoch: number;
  readonly entries: readonly KeptEntry[];
}

export interface KeptEntry {
  /** 1, 2, 3 … */
  readonly sequence: number;
  readonly hash: string;
  readonly entry: Entry;
  /** As it is written. */
  readonly text: string;
}

/** Somebody else wrote since; what the writer knew is out of date. */
export class StaleWrite extends Error {
  constructor(what: string, cause?: unknown) {
    super(`${what} was written by someone else`, { cause });
    this.name = 'StaleWrite';
  }
}

/** Append-only, hash-chained and authenticated. */
export interface History {
  /**
   * Every page after `from`, each checked against the one before it and against the key. PRIVACY_LEDGER_DAMAGED at the first one that
   * is not genuine, or when one is missing between two. That the newest ones are missing, only the anchor can tell.
   */
  read(from: Position): AsyncIterable<Page>;
  /**
   * Durable when it resolves. StaleWrite unless `after` is the newest page: a writer that was overtaken writes nothing. After any other
   * failure it may have happened: read again.
   */
  append(entries: readonly Entry[], epoch: number, after: Position): Promise<Position>;
}

/** The mark of the history that lies outside of its storage: storage that is put back to an older state contradicts it. */
export interface Anchor {
  /** null: never written. PRIVACY_LEDGER_DAMAGED when it is there and not genuine. */
  read(): Promise<Position | null>;
  /** Durable when it resolves. Called with growing positions. */
  write(position: Position): Promise<void>;
  /** The operator accepted another history: this mark, and no older one, counts from now on. null: none. */
  replace(position: Position | null): Promise<void>;
}

/** What the entries up to a position add up to. `before`: the position that its page follows, so that the page can be read and compared. */
export interface Snapshot {
  readonly before: Position;
  readonly position: Position;
  readonly book: Book;
}

/** Only the newest one. It spares reading what is before it and vouches for nothing: without it, or with one that does not fit, all is read. */
export interface Snapshots {
  /** null: none. PRIVACY_LEDGER_DAMAGED when it is there and not genuine. */
  read(): Promise<Snapshot | null>;
  /** Whole or not at all, and durable when it resolves. */
  write(snapshot: Snapshot): Promise<void>;
  /** Whether this book, read from the entries, is the snapshot's. */
  says(snapshot: Snapshot, book: Book): boolean;
}

/** Who writes. The lease keeps two from trying; what keeps a paused writer harmless is History.append. */
export interface LeaseTerms {
  /** The same for every process on one state directory; '' = nobody. */
  readonly owner: string;
  /** Of this process. */
  readonly instance: string;
  /** Grows by one with every taking. */
  readonly epoch: number;
}

export interface WriterLease {
  get(): Promise<{ terms: LeaseTerms; revision: number } | null>;
  /** Also renews. StaleWrite unless `revision` is the newest; null: there is none yet. Returns the new revision. */
  take(terms: LeaseTerms, revision: number | null): Promise<number>;
}
