// Updates at rest.

import type { RawIntakeLog } from './binding.ts';
import { binding } from './binding.ts';
import { awaiting, calling } from './core-error.ts';
import { type DataKey, rawKey } from './sealing.ts';

export interface LogEntry {
  id: string;
  kind: string;
  length: number;
}

export let rawLog: (log: IntakeLog) => RawIntakeLog;

/** Updates at rest between arrival and fold. One per (run, round, phase): a directory of segment files, one writer at a time. */
export class IntakeLog {
  readonly #raw: RawIntakeLog;
  /** Bytes cut off the end when the log was opened; none of them was ever acknowledged. */
  readonly tornBytes: number;

  private constructor(raw: RawIntakeLog) {
    this.#raw = raw;
    this.tornBytes = raw.tornBytes();
  }

  static {
    rawLog = (log) => calling(() => log.#raw);
  }

  /**
   * Opens or begins a log. Replays it and cuts off a torn tail, never an acknowledged record. LOG_CORRUPT (with file and
   * offset) if flushed bytes are damaged, SEAL_BROKEN if the key is another.
   *
   * `epoch` (0) counts its owners, one after another, of whom none can know that the one before has stopped: opening an epoch fixes what
   * counts of the earlier ones, whose appends are LOG_FENCED from then on. LOG_LOCKED if the same epoch is open elsewhere, LOG_FENCED
   * if a later one has begun.
   */
  static async open(
    directory: string,
    key: DataKey,
    { epoch = 0, segmentBytes }: { epoch?: number; segmentBytes?: number } = {},
  ): Promise<IntakeLog> {
    const raw = await awaiting(() => binding.IntakeLog.open(directory, rawKey(key), epoch, segmentBytes));
    return new IntakeLog(raw);
  }

  /**
   * Resolves once the record is durable. An id already durable resolves at once with `deduplicated` and appends nothing. With
   * `expectedSha256` (hexadecimal) pieces that hash to something else are HASH_MISMATCH and append nothing. After DISK_FULL
   * the log stays usable.
   */
  async append(
    kind: string,
    id: string,
    pieces: Uint8Array[],
    expectedSha256?: string,
  ): Promise<{ deduplicated: boolean }> {
    return { deduplicated: await awaiting(() => this.#raw.append(kind, id, pieces, expectedSha256)) };
  }

  has(id: string): boolean {
    return calling(() => this.#raw.has(id));
  }

  /** Durable records in append order. */
  entries(kind?: string): LogEntry[] {
    return calling(() => this.#raw.entries(kind));
  }

  /** At most `length` bytes from `offset`; to the record's end if no length is given. */
  read(id: string, offset?: number, length?: number): Promise<Buffer> {
    return awaiting(() => this.#raw.read(id, offset, length));
  }

  /** Resolves after pending appends, with the lock given back. */
  close(): Promise<void> {
    return awaiting(() => this.#raw.close());
  }
}
