import { AegisError } from '@aegis/errors';
import { type LeaseTerms, StaleWrite } from '../store/contract.ts';
import type { LedgerGround } from './ledger-ground.ts';

/** Of a lease's time the holder counts on this share; the rest is for clocks that do not run equally fast. */
const SURE_SHARE = 0.9;
const NOBODY = '';

/**
 * Hold of the lease. It keeps two processes from trying to write at once; that they could not anyway is History.append's business. Expiry
 * is judged by the challenger's own clock: a lease whose revision has not moved for `leaseMs` is free. A process that starts takes the
 * lease of its own state directory at once: its predecessor is dead, or will be told so by the history.
 */
export class Tenure {
  epoch = 0;
  private readonly ground: Pick<LedgerGround, 'stores' | 'clock'>;
  private readonly terms: { owner: string; instance: string; leaseMs: number };
  private revision: number | null = null;
  private sureUntil = Number.NEGATIVE_INFINITY;
  private watched: { revision: number; since: number } | null = null;
  /** This process had it and lost it: it does not snatch it back from another one on the same state directory. */
  private hadIt = false;
  private over = false;
  private renewing: Promise<void> | null = null;

  constructor(
    ground: Pick<LedgerGround, 'stores' | 'clock'>,
    terms: { owner: string; instance: string; leaseMs: number },
  ) {
    this.ground = ground;
    this.terms = terms;
  }

  /** Another process has the lease, or it was given back. */
  get isOver(): boolean {
    return this.over;
  }

  /** From whom it was taken; null: not now. */
  async take(): Promise<'nobody' | 'itself' | 'stale' | null> {
    const { stores, clock } = this.ground;
    const found = await stores.lease.get();
    const from = found === null ? 'nobody' : this.from(found.terms, found.revision);
    if (from === null) return null;
    const begun = clock.monotonic();
    const epoch = (found?.terms.epoch ?? 0) + 1;
    try {
      this.revision = await stores.lease.take(this.termsOf(epoch), found?.revision ?? null);
    } catch (error) {
      if (error instanceof StaleWrite) return null;
      throw error;
    }
    Object.assign(this, { epoch, over: false, hadIt: true, watched: null });
    this.sureUntil = begun + this.terms.leaseMs * SURE_SHARE;
    return from;
  }

  /** Resolves when nobody else can have written yet; UNAVAILABLE when that is not certain. For answers that write nothing. */
  async confirm(): Promise<void> {
    if (!this.isSure()) await this.renew();
    if (!this.isSure()) throw overtaken();
  }

  renew(): Promise<void> {
    this.renewing ??= this.write().finally(() => {
      this.renewing = null;
    });
    return this.renewing;
  }

  /** The history says that somebody else writes, or the store was away: nothing is sure any more. */
  lapse(): void {
    this.over = true;
    this.sureUntil = Number.NEGATIVE_INFINITY;
  }

  async giveBack(): Promise<void> {
    if (this.over || this.revision === null) return;
    this.lapse();
    await this.renewing?.catch(() => {});
    await this.ground.stores.lease.take({ ...this.termsOf(this.epoch), owner: NOBODY }, this.revision);
  }

  private from({ owner, instance }: LeaseTerms, revision: number): 'nobody' | 'itself' | 'stale' | null {
    if (owner === NOBODY) return 'nobody';
    if (owner === this.terms.owner && (instance === this.terms.instance || !this.hadIt)) return 'itself';
    const now = this.ground.clock.monotonic();
    if (this.watched?.revision === revision) return now - this.watched.since >= this.terms.leaseMs ? 'stale' : null;
    this.watched = { revision, since: now };
    return null;
  }

  private async write(): Promise<void> {
    const { stores, clock } = this.ground;
    if (this.over) throw overtaken();
    const begun = clock.monotonic();
    try {
      this.revision = await stores.lease.take(this.termsOf(this.epoch), this.revision);
    } catch (error) {
      if (!(error instanceof StaleWrite)) throw error;
      await this.writeAgain(error);
    }
    this.sureUntil = begun + this.terms.leaseMs * SURE_SHARE;
  }

  /** A renewal of ours may have happened though its answer was lost. Only another write proves it. */
  private async writeAgain(cause: StaleWrite): Promise<void> {
    const { lease } = this.ground.stores;
    const found = await lease.get();
    try {
      if (found?.terms.instance !== this.terms.instance || found.terms.epoch !== this.epoch) throw cause;
      this.revision = await lease.take(this.termsOf(this.epoch), found.revision);
    } catch (error) {
      if (!(error instanceof StaleWrite)) throw error;
      this.lapse();
      throw overtaken(error);
    }
  }

  private isSure(): boolean {
    return !this.over && this.ground.clock.monotonic() < this.sureUntil;
  }

  private termsOf(epoch: number): LeaseTerms {
    const { owner, instance } = this.terms;
    return { owner, instance, epoch };
  }
}

const overtaken = (cause?: unknown): AegisError =>
  new AegisError('UNAVAILABLE', 'Another process writes the privacy ledger.', cause);
