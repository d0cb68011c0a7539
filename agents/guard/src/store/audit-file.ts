import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { AuditEvent } from '../domain/audit.ts';
import type { Audit } from './contract.ts';

/** JSON lines, only ever appended to, on disk before what they are about happens. */
export class AuditFile implements Audit {
  readonly #file: number;
  readonly #now: () => number;

  constructor(file: string, now: () => number) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    this.#file = openSync(file, 'a', 0o600);
    this.#now = now;
  }

  write(event: AuditEvent): void {
    writeSync(this.#file, `${JSON.stringify({ time: new Date(this.#now()).toISOString(), ...event })}\n`);
    fsyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}
