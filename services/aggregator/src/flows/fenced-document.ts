import { AegisError } from '@aegis/errors';
import type { Clock } from '@aegis/service-kit';
import { type Kept, StaleWrite } from '../store/contract.ts';

/** Thrown to a driver whose run has another owner now: it must stop without a word to the world. */
export class OwnershipLost extends Error {
  constructor(what: string, cause: unknown) {
    super(`${what} has another owner`, { cause });
    this.name = 'OwnershipLost';
  }
}

interface Table<T> {
  get(runId: bigint): Promise<Kept<T> | null>;
  save(value: T, revision: number | null): Promise<number>;
}

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;

/**
 * A document with one writer. Every write names the revision of the one before, so that a writer who was paused and overtaken
 * can write nothing. An outage of the store is waited out, however long; what was lost on the way is read back.
 */
export class FencedDocument<T extends { readonly runId: bigint }> {
  value: T | null;
  private revision: number | null;
  private readonly table: Table<T>;
  private readonly clock: Clock;
  private readonly signal: AbortSignal;

  constructor(table: Table<T>, kept: Kept<T> | null, clock: Clock, signal: AbortSignal) {
    this.table = table;
    this.value = kept?.value ?? null;
    this.revision = kept?.revision ?? null;
    this.clock = clock;
    this.signal = signal;
  }

  async save(value: T): Promise<void> {
    let inDoubt = false;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      this.signal.throwIfAborted();
      try {
        this.revision = await this.table.save(value, this.revision);
        this.value = value;
        return;
      } catch (error) {
        if (error instanceof StaleWrite) {
          if (inDoubt && (await this.wasOurs(value))) return;
          throw new OwnershipLost(`run ${value.runId}`, error);
        }
        if (AegisError.from(error).entry.kind !== 'unavailable') throw error;
        inDoubt = true;
      }
      await this.clock.sleep(pause, this.signal);
    }
  }

  /** A write whose answer was lost may have happened: then what is there is what we wrote. */
  private async wasOurs(value: T): Promise<boolean> {
    const kept = await this.table.get(value.runId);
    if (kept === null || !sameDocument(kept.value, value)) return false;
    this.revision = kept.revision;
    this.value = value;
    return true;
  }
}

const sameDocument = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b);

const canonical = (value: unknown): string =>
  JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === 'bigint') return `${item}n`;
    return item instanceof Map ? [...item] : item;
  });
