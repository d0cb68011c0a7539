import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AegisError } from '@aegis/errors';
import type { Answer, AnswerRecord, Verdict } from '../domain/answer.ts';
import type { KeptUpdate, MaskedRound } from '../domain/masked-round.ts';
import type { Masking, Stage } from '../domain/masking.ts';
import type { Spent } from '../domain/policy.ts';
import type { RunFacts, Task } from '../domain/task.ts';
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
  CREATE TABLE IF NOT EXISTS masked_rounds (
    task_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, round TEXT NOT NULL, task TEXT NOT NULL,
    stage TEXT NOT NULL, answer TEXT NOT NULL, kept TEXT, over TEXT, begun_at INTEGER NOT NULL,
    UNIQUE (run_id, round)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS noise_charges (task_id TEXT PRIMARY KEY, event TEXT NOT NULL) STRICT;
`;

/**
 * The journal in SQLite: every statement is its own transaction, on disk when it returns (WAL, synchronous FULL). A second
 * database is held locked as long as the process lives: the kernel frees it, however the process ends.
 */
export class SqliteJournal implements Journal {
  readonly #database: DatabaseSync;
  readonly #lock: DatabaseSync | null;
  readonly #openedAt: number;

  private constructor(database: DatabaseSync, lock: DatabaseSync | null, openedAt = 0) {
    this.#database = database;
    this.#lock = lock;
    this.#openedAt = openedAt;
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
      database.prepare('DELETE FROM masked_rounds WHERE over IS NOT NULL AND begun_at < ?').run(now - KEEP_MS);
      database.prepare('DELETE FROM answers WHERE verdict IS NOT NULL AND answered_at < ?').run(now - KEEP_MS);
      return new SqliteJournal(database, lock, now);
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

  beginRound({ task, stage, answer }: MaskedRound, charge: string | null): boolean {
    const { taskId, runId, masking, createdAt } = task;
    // Not the server's word alone: what it calls old would be forgotten at the next start, and its terms with it.
    const begunAt = Math.max(this.#openedAt, createdAt * 1000);
    return this.#together(() => {
      const { changes } = this.#database
        .prepare('INSERT INTO masked_rounds VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, ?) ON CONFLICT DO NOTHING')
        .run(taskId, `${runId}`, `${masking?.round}`, toJson(task), stage, answer, Math.round(begunAt));
      if (changes === 1 && charge !== null) {
        this.#database.prepare('INSERT INTO noise_charges VALUES (?, ?)').run(taskId, charge);
      }
      return changes === 1;
    });
  }

  masked(taskId: string): MaskedRound | null {
    const row = this.#database.prepare('SELECT * FROM masked_rounds WHERE task_id = ?').get(taskId);
    return row === undefined ? null : roundOf(row);
  }

  openRounds(): MaskedRound[] {
    return this.#database
      .prepare('SELECT * FROM masked_rounds WHERE over IS NULL ORDER BY begun_at')
      .all()
      .map(roundOf);
  }

  lastMasking(runId: bigint): Masking | null {
    const row = this.#database
      .prepare('SELECT task FROM masked_rounds WHERE run_id = ? ORDER BY begun_at DESC, rowid DESC LIMIT 1')
      .get(`${runId}`);
    return row === undefined ? null : fromJson<Task>(row.task).masking;
  }

  keepUpdate(taskId: string, update: KeptUpdate): void {
    this.#database
      .prepare('UPDATE masked_rounds SET kept = ? WHERE task_id = ? AND kept IS NULL AND over IS NULL')
      .run(toJson(update), taskId);
  }

  advanceRound(taskId: string, stage: Stage, answer: string): void {
    this.#database
      .prepare('UPDATE masked_rounds SET stage = ?, answer = ? WHERE task_id = ? AND over IS NULL')
      .run(stage, answer, taskId);
  }

  maskRound(record: AnswerRecord): boolean {
    return this.#together(() => {
      const isFirst = this.answerTo(record.taskId) === null;
      if (isFirst) {
        this.answer(record);
        this.advanceRound(record.taskId, 'mask', '');
      }
      return isFirst;
    });
  }

  endRound(taskId: string, reason: string): void {
    this.#together(() => {
      this.#database
        .prepare(
          `DELETE FROM noise_charges WHERE task_id IN
            (SELECT task_id FROM masked_rounds WHERE task_id = ? AND over IS NULL AND stage IN ('advertise', 'share'))`,
        )
        .run(taskId);
      this.#database
        .prepare("UPDATE masked_rounds SET over = ?, answer = '', kept = NULL WHERE task_id = ? AND over IS NULL")
        .run(reason, taskId);
    });
  }

  noiseCharges(): { event: string; count: number }[] {
    // A journal that is only looked into may be from before there were any.
    if (!this.#database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'noise_charges'").get()) return [];
    const rows = this.#database
      .prepare('SELECT event, count(*) AS count FROM noise_charges GROUP BY event ORDER BY event')
      .all();
    return rows.map(({ event, count }) => ({ event: String(event), count: Number(count) }));
  }

  noiseOrder(): number | null {
    const row = this.#database.prepare("SELECT value FROM facts WHERE key = 'noise-order'").get();
    return row === undefined ? null : Number(row.value);
  }

  fixNoiseOrder(order: number): number {
    this.#database.prepare("INSERT INTO facts VALUES ('noise-order', ?) ON CONFLICT DO NOTHING").run(`${order}`);
    return this.noiseOrder() ?? order;
  }

  spentSince(time: number): Spent {
    const row = this.#database
      .prepare(
        'SELECT count(*) AS answers, coalesce(sum(bytes), 0) AS bytes FROM answers WHERE answered_at > ? AND bytes >= 0',
      )
      .get(Math.round(time));
    return { answers: Number(row?.answers), bytes: Number(row?.bytes) };
  }

  /** All of it, or nothing. */
  #together<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
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

const roundOf = (row: Record<string, unknown>): MaskedRound => ({
  task: fromJson<Task>(row.task),
  stage: row.stage as Stage,
  answer: String(row.answer),
  update: row.kept === null ? null : fromJson<KeptUpdate>(row.kept),
  over: row.over === null ? null : String(row.over),
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
