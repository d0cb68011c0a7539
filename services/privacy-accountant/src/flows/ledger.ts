import { AegisError } from '@aegis/errors';
import type { Book } from '../domain/book.ts';
import type { Entry, Fact } from '../domain/entry.ts';
import { type Position, StaleWrite } from '../store/contract.ts';
import { genesis } from './genesis.ts';
import type { LedgerGround } from './ledger-ground.ts';
import { isDamage, type Opened, openLedger } from './open-ledger.ts';
import { PageWriter } from './page-writer.ts';
import { Tenure } from './tenure.ts';

export interface LedgerTerms {
  /** The same for every process on one state directory. */
  readonly owner: string;
  readonly leaseMs: number;
  /** Head of a history that the operator accepts although its anchor contradicts it. */
  readonly acceptHead?: string | undefined;
  /** Entries after which a snapshot is taken, so that no opening reads many more. */
  readonly snapshotEvery?: number | undefined;
}

/** What is to be written, and what is answered once it is durable: `value` sees the book with it. */
export interface Decision<T> {
  readonly facts: readonly Fact[];
  readonly value: (book: Book) => T;
}

type Standing = 'opening' | 'standby' | 'open' | 'damaged' | 'closed';

/** Reading so many takes about a second. */
const SNAPSHOT_EVERY = 20_000;

/** An outage of the store is looked at again so often. */
const AGAIN_MS = 500;

/**
 * The one writer of the history, while it is that. Decisions are made one after the other on the book as it will be once everything under
 * way is durable; each waits for its page and for the page's anchor, which those that come together share. If a page is lost, everything
 * decided since is: the book is thrown away and read again from what is durable, and who asked is told to ask again.
 *
 * A paused or partitioned writer does no harm: its page names the page before it, and whoever took over has written one; what it answers
 * without writing is confirmed by its lease (tenure.ts) and stays true, as only releases take anything back, and nothing leaves without Commit.
 */
export class Ledger {
  private readonly ground: LedgerGround;
  private readonly terms: LedgerTerms;
  private readonly instance: string;
  private standing: Standing = 'opening';
  private damage: AegisError | null = null;
  private book: Book | null = null;
  private writer: PageWriter | null = null;
  private tenure: Tenure | null = null;
  private opening: Promise<void> | null = null;
  private timer: { cancel(): void } | null = null;
  /** Entries that the newest snapshot spares. */
  private spared = 0;
  /** A snapshot is being written. Nothing is decided meanwhile, so that the book is that of the newest page's end. */
  private keeping: Promise<void> | null = null;
  private readonly listeners = new Set<() => void>();

  constructor(ground: LedgerGround, terms: LedgerTerms) {
    this.ground = ground;
    this.terms = terms;
    this.instance = ground.random.bytes(8).toString('hex');
  }

  /** Tries once; goes on trying by itself. Never throws: what it cannot do it says to who asks. */
  async start(): Promise<void> {
    await this.look();
  }

  get isOpen(): boolean {
    return this.standing === 'open';
  }

  /** How it stands, and what it knows as the writer: not yet durable, and of no use for deciding anything. */
  get shown(): { standing: string; book: Book | null } {
    return { standing: this.standing, book: this.standing === 'open' ? this.book : null };
  }

  /** Has it found out how it stands: is it written here, elsewhere, or damaged, as everybody is told who asks? */
  get isSettled(): boolean {
    return this.standing !== 'opening' && this.standing !== 'closed';
  }

  /** How it stands, for those who are turned away. */
  get reason(): string {
    return this.damage?.message ?? this.standing;
  }

  /** Decides on the newest book and resolves when what was decided is durable. What `decide` throws changes nothing. */
  async write<T>(decide: (book: Book) => Decision<T>): Promise<T> {
    while (this.keeping !== null) await this.keeping;
    const { book, writer, tenure } = this.demandOpen();
    const { facts, value } = decide(book);
    const entries = this.dated(facts);
    this.applyAll(book, entries);
    // seen with what was just decided, and nothing later
    const answer = value(book);
    if (entries.length > 0) await writer.write(entries);
    else await this.certain(writer, tenure);
    if (entries.length > 0) this.changed();
    this.keepSnapshot();
    return answer;
  }

  /** What is read is durable when it resolves. */
  async read<T>(look: (book: Book, position: Position) => T): Promise<T> {
    const { book, writer, tenure } = this.demandOpen();
    const answer = look(book, writer.durable);
    await this.certain(writer, tenure);
    return answer;
  }

  /** Called after every change that became durable. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Answers what is under way, then gives the lease away. */
  async close(): Promise<void> {
    const { tenure, writer } = this;
    this.standing = 'closed';
    this.timer?.cancel();
    await writer?.settled().catch(() => {});
    await this.opening;
    await this.keeping;
    this.leave('closed');
    await tenure?.giveBack().catch(() => {});
  }

  private demandOpen(): { book: Book; writer: PageWriter; tenure: Tenure } {
    const { standing, damage, book, writer, tenure } = this;
    if (standing === 'open' && book !== null && writer !== null && tenure !== null) return { book, writer, tenure };
    if (damage !== null) throw new AegisError('PRIVACY_LEDGER_DAMAGED', damage.detail, damage);
    if (standing === 'closed') throw new AegisError('DRAINING');
    throw new AegisError(
      'UNAVAILABLE',
      standing === 'standby' ? 'Another process writes the privacy ledger.' : 'The privacy ledger is being opened.',
    );
  }

  /** Everything decided so far is durable, and nobody else can have written since. */
  private async certain(writer: PageWriter, tenure: Tenure): Promise<void> {
    await writer.settled();
    await tenure.confirm();
  }

  private dated(facts: readonly Fact[]): Entry[] {
    const at = Math.floor(this.ground.clock.now());
    return facts.map((fact) => ({ at, ...fact }));
  }

  private applyAll(book: Book, entries: readonly Entry[]): void {
    try {
      for (const entry of entries) book.apply(entry);
    } catch (error) {
      // A decision that does not fit its own book is a fault of ours; half of it must not stay.
      this.lose('store', error);
      throw error;
    }
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }

  private async look(): Promise<void> {
    this.opening ??= this.renewOrOpen()
      .catch((error: unknown) => this.failed(error))
      .finally(() => {
        this.opening = null;
        this.lookAgain();
      });
    await this.opening;
  }

  private lookAgain(): void {
    this.timer?.cancel();
    if (this.standing === 'closed' || this.standing === 'damaged') return;
    const wait = this.standing === 'opening' ? AGAIN_MS : this.terms.leaseMs / 3;
    this.timer = this.ground.clock.schedule(wait, () => void this.look());
  }

  private async renewOrOpen(): Promise<void> {
    if (this.standing === 'open') {
      await this.tenure?.renew().catch((error: unknown) => {
        if (this.tenure?.isOver) this.lose('overtaken', error);
      });
      return;
    }
    const tenure = this.tenure ?? new Tenure(this.ground, { ...this.terms, instance: this.instance });
    this.tenure = tenure;
    const from = await tenure.take();
    if (from === null) {
      this.standing = 'standby';
      return;
    }
    await this.open(tenure, from);
  }

  private async open(tenure: Tenure, from: string): Promise<void> {
    const { log, measures, accounting } = this.ground;
    const { book, position, accepted, spared } = await this.readHistory();
    const writer = new PageWriter(this.ground, position, tenure.epoch, (error) => this.lose(reasonOf(error), error));
    const entries = this.dated([
      { kind: 'opened', epoch: tenure.epoch, writer: this.instance },
      ...accepted,
      ...genesis(book, accounting),
    ]);
    // This page is the fence: whoever wrote before cannot follow it.
    await writer.write(entries);
    this.applyAll(book, entries);
    if (this.isClosed()) return;
    Object.assign(this, { book, writer, spared, standing: 'open' as const });
    measures.takings.add(1, { from });
    log.info({ epoch: tenure.epoch, entries: book.entries, spared, from }, 'the privacy ledger is open');
    this.changed();
    this.keepSnapshot();
  }

  /** Takes a snapshot when one is due. That it fails costs the next opening some time and nobody else anything. */
  private keepSnapshot(): void {
    const { book, writer, terms, ground } = this;
    if (book === null || writer === null || this.keeping !== null) return;
    if (book.entries - this.spared < (terms.snapshotEvery ?? SNAPSHOT_EVERY)) return;
    const { snapshots } = ground.stores;
    const keep = async (): Promise<void> => {
      await writer.settled();
      const { durable: position, beforeDurable: before } = writer;
      if (this.writer !== writer || before === null || book.entries !== position.entries) return;
      await snapshots.write({ before, position, book });
      this.spared = position.entries;
    };
    this.keeping = keep()
      .catch((error: unknown) => {
        this.spared = book.entries;
        ground.log.warn({ err: error }, 'no snapshot of the privacy ledger was written');
      })
      .finally(() => {
        this.keeping = null;
      });
  }

  private async readHistory(): Promise<Opened & { accepted: Fact[] }> {
    const { stores, log } = this.ground;
    const onRefused = (reason: unknown): void =>
      log.warn({ err: reason }, 'the snapshot of the privacy ledger is not used: everything is read');
    try {
      return { ...(await openLedger(stores, { onRefused })), accepted: [] };
    } catch (error) {
      const { acceptHead } = this.terms;
      if (acceptHead === undefined || !isDamage(error)) throw error;
      // The operator's word stands in for the anchor, never for chain and key.
      const opened = await openLedger(stores, { unanchored: true });
      if (opened.position.head !== acceptHead) throw error;
      log.error({ head: acceptHead, err: error }, 'the operator accepts a history that the anchor contradicts');
      await stores.anchor.replace(opened.position.page === 0 ? null : opened.position);
      return { ...opened, accepted: [{ kind: 'accepted', head: acceptHead, because: error.detail }] };
    }
  }

  private isClosed(): boolean {
    return this.standing === 'closed';
  }

  private lose(reason: string, error: unknown): void {
    if (this.standing !== 'open') return;
    this.ground.measures.losses.add(1, { reason });
    this.ground.log.warn({ err: error, reason }, 'the privacy ledger has to be opened again');
    this.leave(reason === 'overtaken' ? 'standby' : 'opening');
    if (this.opening === null) this.lookAgain();
  }

  private failed(error: unknown): void {
    if (this.isClosed()) return;
    if (isDamage(error)) {
      this.damage = error;
      this.standing = 'damaged';
      this.ground.measures.losses.add(1, { reason: 'damaged' });
      this.ground.log.error(
        { code: error.code, detail: error.detail },
        'the privacy ledger does not verify; nothing is granted',
      );
      return;
    }
    this.standing = 'opening';
    this.ground.log.warn({ err: error }, 'the privacy ledger cannot be opened yet');
  }

  private leave(to: 'standby' | 'opening' | 'closed'): void {
    this.standing = to;
    this.book = null;
    this.writer?.stop();
    this.writer = null;
    if (to !== 'closed') this.tenure?.lapse();
  }
}

const reasonOf = (error: unknown): string => (error instanceof StaleWrite ? 'overtaken' : 'store');
