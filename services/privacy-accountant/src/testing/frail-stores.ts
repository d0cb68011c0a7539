import { AegisError } from '@aegis/errors';
import type { Stores } from '../store/contract.ts';
import { type MemoryPlace, memoryStores } from '../store/memory/index.ts';

/** What becomes of one write of a process. */
export type Fate =
  /** It happens, and the process dies before it knows. */
  | 'dies-after'
  /** The process dies before it happens. */
  | 'dies-before'
  /** It happens, its answer is lost. */
  | 'answer-lost'
  /** It does not happen. */
  | 'refused';

const never = new Promise<never>(() => {});

/** One process: it dies or is paused between any two steps, and does not notice. */
export class Life {
  isDead = false;
  /** Writes so far, counted before they happen. */
  writes = 0;
  /** Of the write with this number. */
  readonly fates = new Map<number, Fate>();
  private paused: Promise<void> | null = null;
  private wake = (): void => {};

  die(): void {
    this.isDead = true;
  }

  pause(): void {
    this.paused ??= new Promise((resolve) => {
      this.wake = resolve;
    });
  }

  resume(): void {
    this.paused = null;
    this.wake();
  }

  /** Between any two things a process does. */
  async step(): Promise<void> {
    await Promise.resolve();
    while (this.paused !== null && !this.isDead) await this.paused;
    if (this.isDead) await never;
  }

  async write<T>(happen: () => Promise<T>): Promise<T> {
    await this.step();
    this.writes += 1;
    const fate = this.fates.get(this.writes);
    if (fate === 'refused') throw new AegisError('STORE_UNAVAILABLE', 'refused by the test');
    if (fate === 'dies-before') this.die();
    await this.step();
    const value = await happen();
    if (fate === 'dies-after') this.die();
    await this.step();
    if (fate === 'answer-lost') throw new AegisError('STORE_UNAVAILABLE', 'the answer was lost by the test');
    return value;
  }
}

/** The stores of a place, as a process with this life has them. */
export function frailStores(place: MemoryPlace, life: Life): Stores {
  const { history, lease, anchor, snapshots, close } = memoryStores(place);
  return {
    history: {
      read: async function* (from) {
        for await (const page of history.read(from)) {
          await life.step();
          yield page;
        }
      },
      append: (entries, epoch, after) => life.write(() => history.append(entries, epoch, after)),
    },
    snapshots: {
      read: () => life.step().then(() => snapshots.read()),
      write: (snapshot) => life.write(() => snapshots.write(snapshot)),
      says: snapshots.says,
    },
    anchor: {
      read: () => life.step().then(() => anchor.read()),
      write: (position) => life.write(() => anchor.write(position)),
      replace: (position) => life.write(() => anchor.replace(position)),
    },
    lease: {
      get: () => life.step().then(() => lease.get()),
      take: (terms, revision) => life.write(() => lease.take(terms, revision)),
    },
    close,
  };
}
