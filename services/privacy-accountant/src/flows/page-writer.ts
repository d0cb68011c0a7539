import { AegisError } from '@aegis/errors';
import type { Entry } from '../domain/entry.ts';
import { type Position, StaleWrite } from '../store/contract.ts';
import type { LedgerGround } from './ledger-ground.ts';

interface Waiting {
  readonly entries: readonly Entry[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Entries of one page; a page must fit into one message of the store. */
const MOST_ENTRIES = 500;
/** Units named for the first time in one page: they are what makes an entry long. */
const MOST_NEW_UNITS = 100_000;

/**
 * Group commit. What comes while a page is being written waits for the next one; the anchor of a page is set while the next page is
 * written, and who waits is answered after both. The first failure is the last thing it does: what is durable is then a matter of reading.
 */
export class PageWriter {
  /** What is durable, and anchored. */
  durable: Position;
  /** What the newest durable page follows; null until one was written here. */
  beforeDurable: Position | null = null;
  private readonly ground: LedgerGround;
  private readonly epoch: number;
  private readonly onFailure: (error: unknown) => void;
  private appended: Position;
  private queue: Waiting[] = [];
  private readonly unanswered = new Set<Promise<void>>();
  private anchoring: Promise<void> = Promise.resolve();
  private pumping = false;
  private failure: AegisError | null = null;

  constructor(ground: LedgerGround, position: Position, epoch: number, onFailure: (error: unknown) => void) {
    this.ground = ground;
    this.durable = position;
    this.appended = position;
    this.epoch = epoch;
    this.onFailure = onFailure;
  }

  /** Resolves when the entries are durable and anchored. Rejects when that is not known. */
  write(entries: readonly Entry[]): Promise<void> {
    if (this.failure !== null) return Promise.reject(this.failure);
    const answer = new Promise<void>((resolve, reject) => this.queue.push({ entries, resolve, reject }));
    this.unanswered.add(answer);
    const done = (): void => void this.unanswered.delete(answer);
    answer.then(done, done);
    if (!this.pumping) void this.pump();
    return answer;
  }

  /** Resolves when everything written so far is durable. */
  async settled(): Promise<void> {
    await Promise.all(this.unanswered);
    if (this.failure !== null) throw this.failure;
  }

  stop(): void {
    this.fail(new AegisError('UNAVAILABLE', 'The privacy ledger is being opened again.'));
  }

  private async pump(): Promise<void> {
    this.pumping = true;
    // whoever else asks in this turn of the event loop comes along
    await new Promise((resolve) => setImmediate(resolve));
    while (this.queue.length > 0 && this.failure === null) {
      const batch = this.take();
      try {
        const begun = this.ground.clock.monotonic();
        const entries = batch.flatMap((waiting) => waiting.entries);
        this.appended = await this.ground.stores.history.append(entries, this.epoch, this.appended);
        this.ground.measures.pageEntries.record(entries.length);
        this.anchor(this.appended, batch, begun);
      } catch (error) {
        this.broken(error, batch);
      }
    }
    this.pumping = false;
  }

  private anchor(position: Position, batch: readonly Waiting[], begun: number): void {
    this.anchoring = this.anchoring.then(async () => {
      if (this.failure !== null) return reject(batch, this.failure);
      try {
        await this.ground.stores.anchor.write(position);
        this.beforeDurable = this.durable;
        this.durable = position;
        this.ground.measures.pageSeconds.record((this.ground.clock.monotonic() - begun) / 1000);
        for (const waiting of batch) waiting.resolve();
      } catch (error) {
        this.broken(error, batch);
      }
    });
  }

  private take(): Waiting[] {
    let entries = 0;
    let newUnits = 0;
    const end = this.queue.findIndex((waiting, at) => {
      entries += waiting.entries.length;
      for (const entry of waiting.entries) if (entry.kind === 'reserved') newUnits += entry.newUnits.length;
      return at > 0 && (entries > MOST_ENTRIES || newUnits > MOST_NEW_UNITS);
    });
    return this.queue.splice(0, end < 0 ? this.queue.length : end);
  }

  private broken(error: unknown, batch: readonly Waiting[]): void {
    const told =
      error instanceof StaleWrite
        ? new AegisError('UNAVAILABLE', 'Another process writes the privacy ledger.', error)
        : new AegisError('STORE_UNAVAILABLE', 'The privacy ledger was not written; repeat the call as it was.', error);
    this.fail(told);
    reject(batch, told);
    this.onFailure(error);
  }

  private fail(error: AegisError): void {
    this.failure ??= error;
    reject(this.queue.splice(0), this.failure);
  }
}

const reject = (batch: readonly Waiting[], error: AegisError): void => {
  for (const waiting of batch) waiting.reject(error);
};
