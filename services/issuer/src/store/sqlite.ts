import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AegisError } from '@aegis/errors';
import type { Holder } from '../domain/holder.ts';
import type { Register } from './contract.ts';

/**
 * The register in SQLite, on disk when a write returns, and locked as long as the process lives: the kernel frees it, however the process
 * ends. It holds no secrets: certificates are public.
 */
export class SqliteRegister implements Register {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** ISSUER_REGISTER when it cannot be opened, or another process has it. */
  static open(folder: string): SqliteRegister {
    const file = join(folder, 'register.sqlite');
    try {
      mkdirSync(folder, { recursive: true });
      chmodSync(folder, 0o700);
      const database = new DatabaseSync(file);
      // Exclusive: taken with the first write below, and kept.
      database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;');
      database.exec('BEGIN EXCLUSIVE; COMMIT;');
      database.exec('CREATE TABLE IF NOT EXISTS holders (name TEXT PRIMARY KEY, holder TEXT NOT NULL) STRICT;');
      return new SqliteRegister(database);
    } catch (cause) {
      throw new AegisError('ISSUER_REGISTER', `${file} cannot be opened, or another issuer has it.`, cause);
    }
  }

  of(name: string): Holder | null {
    const row = this.#database.prepare('SELECT holder FROM holders WHERE name = ?').get(name);
    return row === undefined ? null : (JSON.parse(String(row.holder)) as Holder);
  }

  all(): Holder[] {
    const rows = this.#database.prepare('SELECT holder FROM holders ORDER BY name').all();
    return rows.map((row) => JSON.parse(String(row.holder)) as Holder);
  }

  write(holder: Holder): void {
    this.#database
      .prepare('INSERT INTO holders VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder')
      .run(holder.name, JSON.stringify(holder));
  }

  close(): void {
    this.#database.close();
  }
}
