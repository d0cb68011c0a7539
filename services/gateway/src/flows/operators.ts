import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { AegisError } from '@aegis/errors';
import { type Clock, LOOK_EVERY_MS, type Logger, type Secret } from '@aegis/service-kit';
import { FIRST_OPERATOR, type OperatorIdentity } from '../domain/operator-access.ts';
import { type OperatorRecord, operatorsFile } from '../operators-file.ts';

export interface OperatorTokens {
  /** Of the first operator, an admin; undefined: there is none. */
  readonly token: Secret | undefined;
  /** Further operators, each with a name and a role; looked at again when it changes. A file that is not there names nobody. */
  readonly file: string | undefined;
}

/** Whose tokens open the operator's door. A file that cannot be used names nobody until it can: fewer may come in, never more. */
export class Operators {
  readonly #tokens: OperatorTokens;
  readonly #clock: Pick<Clock, 'monotonic' | 'now'>;
  readonly #log: Logger;
  #known: readonly OperatorRecord[] = [];
  #lookedAt = Number.NEGATIVE_INFINITY;
  #seen = '';

  constructor(tokens: OperatorTokens, clock: Pick<Clock, 'monotonic' | 'now'>, log: Logger) {
    this.#tokens = tokens;
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Whose token that is; null: nobody's. Hashes are compared, and all of them, so that neither length nor place of a difference shows in the time
   * it takes.
   */
  of(given: string): OperatorIdentity | null {
    this.#look();
    const hash = digest(given);
    const { token } = this.#tokens;
    let found: OperatorIdentity | null = null;
    if (token !== undefined && timingSafeEqual(hash, digest(token.reveal())))
      found = { name: FIRST_OPERATOR, role: 'admin' };
    for (const { name, role, sha256, expires } of this.#known) {
      const isTheirs = timingSafeEqual(hash, Buffer.from(sha256, 'hex'));
      if (isTheirs && (expires === undefined || Date.parse(expires) > this.#clock.now())) found ??= { name, role };
    }
    return found;
  }

  #look(): void {
    const { file } = this.#tokens;
    const now = this.#clock.monotonic();
    if (file === undefined || now - this.#lookedAt < LOOK_EVERY_MS) return;
    this.#lookedAt = now;
    try {
      const stat = statSync(file, { throwIfNoEntry: false });
      const seen = stat === undefined ? '' : `${stat.ino} ${stat.size} ${stat.mtimeMs} ${stat.mode}`;
      if (seen === this.#seen) return;
      this.#seen = seen;
      this.#known = [];
      if (stat === undefined) return;
      if ((stat.mode & 0o022) !== 0) throw new AegisError('CONFIG_INVALID', 'Others may write it; chmod 600 it.');
      this.#known = operatorsFile.parse(JSON.parse(readFileSync(file, 'utf8'))).operators;
    } catch (error) {
      this.#log.error({ err: error, file }, 'the operators file cannot be used; only the first operator has a token');
    }
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
