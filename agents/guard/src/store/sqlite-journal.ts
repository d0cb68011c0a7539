import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AegisError } from '@aegis/errors';
import type { Answer, AnswerRecord, Verdict } from '../domain/answer.ts';
import type { Spent } from '../domain/policy.ts';
import type { RunFacts } from '../domain/task.ts';
import type { Journal } from './contract.ts';

/** Settled answers are kept so long, so that none is ever given again. */
const KEEP_MS = 90 * 86_400_000;

const tables = `
  CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS runs (run_id TEXT PRIMARY KEY, facts TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS answers (
    task_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, answer TEXT NOT NULL,
    bytes INTEGER NOT NULL, answered_at INTEGER NOT NULL, verdict TEXT
  ) STRICT;
  CREATE INDEX IF NOT EXISTS answers_by_time ON answers (answered_at);
`;

/**
 * The journal in SQLite: every statement is its own transaction, on disk when it returns (WAL, synchronous FULL). A second
 * database is held locked as long as the process lives: the kernel frees it, however the process ends.
 */
export class SqliteJournal implements Journal {
  readonly #database: DatabaseSync;
  readonly #lock: DatabaseSync | null;

  private constructor(database: DatabaseSync, lock: DatabaseSync | null) {
    this.#database = database;
    this.#lock = lock;
  }

  /** GUARD_LOCKED when another guard has the folder. */
  static open(folder: string, now: number): SqliteJournal {
    mkdirSync(folder, { recursive: true });
    // Whoever may read it reads what this node answered.
    chmodSync(folder, 0o700);
    const lock = takeLock(join(folder, 'lock.sqlite'), folder);
    try {
      const database = new DatabaseSync(join(folder, 'journal.sqlite'));
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
      database.exec(tables);
      database.prepare('DELETE FROM answers WHERE verdict IS NOT NULL AND answered_at < ?').run(now - KEEP_MS);
      return new SqliteJournal(database, lock);
    } catch (cause) {
      lock.close();
      throw new AegisError('GUARD_JOURNAL', `${folder}/journal.sqlite cannot be opened.`, cause);
    }
  }

  /** For looking into the journal of a guard, which may be running; null when there is none. */
  static openToRead(folder: string): SqliteJournal | null {
    const file = join(folder, 'journal.sqlite');
    return existsSync(file) ? new SqliteJournal(new DatabaseSync(file, { readOnly: true }), null) : null;
  }

  nodeId(): bigint | null {
    const row = this.#database.prepare("SELECT value FROM facts WHERE key = 'node-id'").get();
    return row === undefined ? null : BigInt(String(row.value));
  }

  rememberNode(nodeId: bigint): void {
    this.#database
      .prepare("INSERT INTO facts VALUES ('node-id', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
      .run(nodeId.toString());
  }

  run(runId: bigint): RunFacts | null {
    const row = this.#database.prepare('SELECT facts FROM runs WHERE run_id = ?').get(runId.toString());
    return row === undefined ? null : fromJson<RunFacts>(row.facts);
  }

  rememberRun(run: RunFacts): void {
    this.#database
      .prepare('INSERT INTO runs VALUES (?, ?) ON CONFLICT DO NOTHING')
      .run(run.runId.toString(), toJson(run));
  }

  answer({ taskId, runId, answer, bytes, answeredAt }: AnswerRecord): AnswerRecord {
    this.#database
      .prepare('INSERT INTO answers VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING')
      .run(taskId, runId.toString(), toJson(answer), bytes, Math.round(answeredAt));
    const kept = this.answerTo(taskId);
    if (kept === null) throw new AegisError('GUARD_JOURNAL', 'An answer that was written is not there.');
    return kept;
  }

  answerTo(taskId: string): AnswerRecord | null {
    const row = this.#database.prepare('SELECT * FROM answers WHERE task_id = ?').get(taskId);
    return row === undefined ? null : recordOf(row);
  }

  unsettled(): AnswerRecord[] {
    const rows = this.#database.prepare('SELECT * FROM answers WHERE verdict IS NULL ORDER BY answered_at').all();
    return rows.map(recordOf);
  }

  settle(taskId: string, verdict: Verdict): void {
    this.#database
      .prepare('UPDATE answers SET verdict = ? WHERE task_id = ? AND verdict IS NULL')
      .run(toJson(verdict), taskId);
  }

  spentSince(time: number): Spent {
    const row = this.#database
      .prepare(
        'SELECT count(*) AS answers, coalesce(sum(bytes), 0) AS bytes FROM answers WHERE answered_at > ? AND bytes >= 0',
      )
      .get(Math.round(time));
    return { answers: Number(row?.answers), bytes: Number(row?.bytes) };
  }

  close(): void {
    this.#database.close();
    this.#lock?.close();
  }
}

const takeLock = (file: string, folder: string): DatabaseSync => {
  const lock = new DatabaseSync(file);
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;');
    return lock;
  } catch (cause) {
    lock.close();
    throw new AegisError('GUARD_LOCKED', `Another guard works in ${folder}.`, cause);
  }
};

const recordOf = (row: Record<string, unknown>): AnswerRecord => ({
  taskId: String(row.task_id),
  runId: BigInt(String(row.run_id)),
  answer: fromJson<Answer>(row.answer),
  bytes: Number(row.bytes),
  answeredAt: Number(row.answered_at),
  verdict: row.verdict === null ? null : fromJson<Verdict>(row.verdict),
});

// 64-bit integers, bytes and what JSON has no number for travel as tagged text.
const toJson = (value: unknown): string =>
  JSON.stringify(value, function (this: Record<string, unknown>, key, given) {
    const original = this[key];
    if (typeof original === 'bigint') return { $integer: original.toString() };
    if (original instanceof Uint8Array) return { $bytes: Buffer.from(original).toString('base64') };
    if (typeof original === 'number' && !Number.isFinite(original)) return { $number: String(original) };
    return given;
  });

const fromJson = <T>(text: unknown): T =>
  JSON.parse(String(text), (_key, value) => {
    if (typeof value !== 'object' || value === null) return value;
    if (typeof value.$integer === 'string') return BigInt(value.$integer);
    if (typeof value.$bytes === 'string') return Buffer.from(value.$bytes, 'base64');
    if (typeof value.$number === 'string') return Number(value.$number);
    return value;
  }) as T;
