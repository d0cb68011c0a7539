import { AegisError } from '@aegis/errors';
import type { Clock } from '@aegis/service-kit';
import { type LeaseStore, type LeaseTerms, StaleWrite } from '../store/contract.ts';

/** Of a lease's time the holder counts on this share; the rest is for clocks that do not run equally fast. */
const SURE_SHARE = 0.9;

/**
 * One owner's hold of one run, from its taking over to its end: the lease under one epoch, renewed by compare-and-set.
 *
 * A process can be paused between any two instructions, for any time, and does not notice. Three rules keep a paused owner harmless:
 *
 * - *It writes no document*: each write names the revision before it, and whoever takes over writes first (fenced-document.ts).
 * - *It counts nothing*: it appends to the log of its own epoch. Whoever takes over fixes, durably and before it serves, how much
 *   of every earlier epoch counts (store/contract.ts); what is appended later is read by nobody.
 * - *It promises nothing*: an answer is durable, then `confirm` says that the lease was still ours, then the node is told. Nobody
 *   takes a lease before it has watched it stand still for `leaseMs`; the last renewal began before the write it watches; so up to
 *   `leaseMs` after the *beginning* of our last renewal there is no other owner. Whoever becomes owner after `confirm` reads the log
 *   after that, and finds the answer.
 *
 * Paused where, and then overtaken:
 * - before the append, or between append and flush: the bytes fall behind the fence, `confirm` refuses, the node asks again and meets the new owner;
 * - between flush and `confirm`: the same. The answer may lie before the fence; it is counted then, and the node that asks again is told so;
 * - between `confirm` and the message to the node: the message comes late and is true: the new owner found the answer;
 * - between the clock's reading and its comparison inside `confirm`: as between `confirm` and the message;
 * - inside a renewal: its compare-and-set fails, or it succeeded before the pause and counts from its beginning;
 * - between taking a lease and fixing the fence: both are done again by the next epoch; nobody was served under this one.
 *
 * The monotonic clock goes on while a process is stopped. It stands still while a whole machine is suspended: then the log itself
 * refuses (core-native intake: the mark that whoever takes over leaves in it is looked for after each flush).
 */
export class Tenure {
  private readonly terms: LeaseTerms;
  private readonly leases: LeaseStore;
  private readonly clock: Clock;
  private readonly leaseMs: number;
  private revision: number;
  private sureUntil: number;
  private renewing: Promise<void> | null = null;
  private over = false;

  /** `begun`: monotonic time before the lease was taken at `revision`. */
  constructor(leases: LeaseStore, clock: Clock, leaseMs: number, terms: LeaseTerms, revision: number, begun: number) {
    this.leases = leases;
    this.clock = clock;
    this.leaseMs = leaseMs;
    this.terms = terms;
    this.revision = revision;
    this.sureUntil = begun + leaseMs * SURE_SHARE;
  }

  get epoch(): number {
    return this.terms.epoch;
  }

  /** Another owner has taken the run, or it was given back. */
  get isOver(): boolean {
    return this.over;
  }

  /** Resolves when nobody else can own the run yet; UNAVAILABLE when that is not certain. For use after an answer is durable. */
  async confirm(): Promise<void> {
    if (this.isSure()) return;
    await this.renew();
    if (!this.isSure()) throw overtaken(this.terms.runId);
  }

  /** UNAVAILABLE when the run has another owner, or the store does not answer. */
  renew(): Promise<void> {
    this.renewing ??= this.write(this.terms).finally(() => {
      this.renewing = null;
    });
    return this.renewing;
  }

  /** Gives the lease to nobody; the volume keeps the run. Nothing is confirmed from here on. */
  async giveBack(): Promise<void> {
    this.over = true;
    await this.renewing?.catch(() => {});
    await this.leases.take({ ...this.terms, owner: '' }, this.revision);
  }

  /** The run is finished: so is its lease. */
  async remove(): Promise<void> {
    this.over = true;
    await this.renewing?.catch(() => {});
    await this.leases.remove(this.terms.runId, this.revision);
  }

  private isSure(): boolean {
    return !this.over && this.clock.monotonic() < this.sureUntil;
  }

  private async write(terms: LeaseTerms): Promise<void> {
    if (this.over) throw overtaken(terms.runId);
    const begun = this.clock.monotonic();
    try {
      this.revision = await this.leases.take(terms, this.revision);
    } catch (error) {
      if (!(error instanceof StaleWrite)) throw error;
      await this.writeAgain(terms, error);
    }
    this.sureUntil = begun + this.leaseMs * SURE_SHARE;
  }

  /** A write of ours may have happened though its answer was lost. Only another write proves it: what is read may be old. */
  private async writeAgain(terms: LeaseTerms, cause: unknown): Promise<void> {
    const lease = await this.leases.get(terms.runId);
    try {
      if (lease?.owner !== terms.owner || lease.epoch !== terms.epoch)
        throw new StaleWrite(`lease ${terms.runId}`, cause);
      this.revision = await this.leases.take(terms, lease.revision);
    } catch (error) {
      if (!(error instanceof StaleWrite)) throw error;
      this.over = true;
      throw overtaken(terms.runId, error);
    }
  }
}

const overtaken = (runId: bigint, cause?: unknown): AegisError =>
  new AegisError('UNAVAILABLE', `Run ${runId} has another owner.`, cause);
