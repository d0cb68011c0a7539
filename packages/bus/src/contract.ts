import type { BucketName } from './buckets.ts';
import type { JournalName } from './journals.ts';
import type { SubjectMessages, SubjectName } from './subjects.ts';

/**
 * The suite's coordination engine: small durable values with compare-and-set, and events.
 * During an outage every call waits up to a bound and then fails with STORE_UNAVAILABLE; for a write that means "not known
 * whether it happened", so callers repeat idempotent writes and compare-and-set. The connection comes back by itself.
 */
export interface Bus {
  /** Opens a bucket of the table in buckets.ts, creating it on first use. */
  bucket(name: BucketName): Promise<Bucket>;
  /** Opens a journal of the table in journals.ts, creating it on first use. */
  journal(name: JournalName): Promise<Journal>;

  /** Best effort, at most once. Carries the active trace. Does not throw during an outage: the event is lost. */
  publish<S extends SubjectName>(subject: S, message: SubjectMessages[S]): void;
  /** Every event from now on, until `signal` aborts. The subscription stands at the server when this returns. */
  subscribe<S extends SubjectName>(
    subject: S,
    signal: AbortSignal,
  ): Promise<AsyncIterable<BusEvent<SubjectMessages[S]>>>;

  appendRunLog(runId: bigint, text: string): Promise<void>;
  /**
   * Lines of a run written after `after` (Unix seconds, exclusive; 0 for all), oldest first. Ends with the last line there is,
   * or, with `follow`, when `signal` aborts.
   */
  readRunLog(runId: bigint, after: number, follow: boolean, signal: AbortSignal): AsyncIterable<RunLogLine>;

  /** Is the connection up now? */
  ready(): boolean;
  /** Called with every change of ready(); returns the way to stop it. */
  onStatus(listener: (ready: boolean) => void): () => void;
  close(): Promise<void>;
}

export interface BusEvent<T> {
  readonly message: T;
  readonly traceparent?: string | undefined;
}

export interface RunLogLine {
  readonly text: string;
  /** Unix seconds; pass the newest as `after` to go on. */
  readonly at: number;
}

/** Keys are made of `A-Z a-z 0-9 _ = / -` and `.`, which separates parts; see keyPart for anything else. */
export interface Bucket {
  /** Undefined behaviour never: null when the key was never written, was deleted, or has expired. */
  get(key: string): Promise<BucketEntry | null>;
  /** Writes a key that does not exist; BusConflict when it does. Returns the revision. */
  create(key: string, value: Uint8Array): Promise<number>;
  /** Writes a key that never was; BusConflict also when it was deleted, for the hour that a deletion is remembered. */
  createOnce(key: string, value: Uint8Array): Promise<number>;
  put(key: string, value: Uint8Array): Promise<number>;
  /** Compare-and-set: BusConflict unless `revision` is the newest. */
  update(key: string, value: Uint8Array, revision: number): Promise<number>;
  /** With a revision: BusConflict unless it is the newest. Deleting what is not there is fine. */
  delete(key: string, revision?: number): Promise<void>;
  /** What is there now. `prefix` is whole parts: '42' and '42.' both mean every key below `42.` */
  entries(prefix?: string): AsyncIterable<KeyedEntry>;
  /**
   * What is there now (`initial: true`), then one `{ type: 'complete' }`, then every change until `signal` aborts.
   * Survives outages and restarts of the server: changes missed meanwhile follow, nothing comes twice. Several changes of one key
   * may arrive as the last of them.
   */
  watch(prefix: string | undefined, signal: AbortSignal): AsyncIterable<WatchItem>;
}

export interface BucketEntry {
  readonly value: Buffer;
  readonly revision: number;
}
export interface KeyedEntry extends BucketEntry {
  readonly key: string;
}
export type WatchItem =
  | {
      readonly type: 'entry';
      readonly key: string;
      /** null: deleted, or expired. */
      readonly value: Buffer | null;
      readonly revision: number;
      readonly initial: boolean;
    }
  | { readonly type: 'complete' };

/** A history: it grows by one record at a time, and nothing is ever taken out of it. */
export interface Journal {
  /**
   * Durable when it resolves. BusConflict unless `after` is the newest record's sequence (0: there is none): two writers cannot both
   * follow the same record. Returns the new sequence.
   */
  append(record: Uint8Array, after: number): Promise<number>;
  /** Every record after `after`, oldest first, up to the newest there is. */
  read(after: number): AsyncIterable<JournalRecord>;
  /** null: there is none. */
  newest(): Promise<JournalRecord | null>;
}

export interface JournalRecord {
  /** 1, 2, 3 … as the server counts; a gap means that something was taken away behind its back. */
  readonly sequence: number;
  readonly content: Buffer;
}

/** Somebody else wrote first: read again, decide again. */
export class BusConflict extends Error {
  readonly bucket: string;
  readonly key: string;

  constructor(bucket: string, key: string, cause?: unknown) {
    super(`${bucket}/${key} was changed by someone else`, { cause });
    this.name = 'BusConflict';
    this.bucket = bucket;
    this.key = key;
  }
}

/** Any text as one part of a key. */
export const keyPart = (text: string): string => Buffer.from(text, 'utf8').toString('base64url');
export const fromKeyPart = (part: string): string => Buffer.from(part, 'base64url').toString('utf8');
