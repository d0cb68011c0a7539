import { AegisError } from '@aegis/errors';
import { type Lease, StaleWrite } from '../store/contract.ts';
import { RunDriver } from './drive-run.ts';
import type { Ground } from './ground.ts';

export interface Ownership {
  /** The same after a restart on the same state directory, and nobody else's. */
  readonly owner: string;
  /** A lease not renewed for this long belongs to nobody. */
  readonly leaseMs: number;
}

const NOBODY = '';

/**
 * Which runs this process drives. A lease says who works on a run, so that two do not try; what keeps a paused old owner from
 * writing is the revision of the documents (fenced-document.ts), not the lease. Expiry is judged by the challenger's own clock:
 * a lease whose revision has not moved for `leaseMs` is free. An owner that restarts finds its own leases and goes on at once.
 */
export class RunOwner {
  private readonly ground: Ground;
  private readonly ownership: Ownership;
  private readonly drivers = new Map<bigint, RunDriver>();
  /** Ours, at their newest revision. */
  private readonly leases = new Map<bigint, number>();
  /** Others', and since when they have stood still. */
  private readonly watched = new Map<bigint, { revision: number; since: number }>();
  private readonly reserved = new Set<bigint>();
  private readonly adopting = new Map<bigint, Promise<void>>();
  private timer: { cancel(): void } | null = null;
  private draining = false;

  constructor(ground: Ground, ownership: Ownership) {
    this.ground = ground;
    this.ownership = ownership;
  }

  /** Goes on with every unfinished run that nobody else has. Calls about a run wait until it takes answers again. */
  async start(): Promise<void> {
    await this.look();
    await this.clearAway();
    this.again();
  }

  /** Before a new run is written down, so that it cannot be lost between the two; `begin` follows. */
  async reserve(runId: bigint): Promise<void> {
    if (this.draining) throw new AegisError('DRAINING');
    this.reserved.add(runId);
    await this.ground.stores.leases.take(runId, this.ownership.owner, null);
  }

  /** The reserved run is written down, or will never be. */
  begin(runId: bigint): void {
    this.reserved.delete(runId);
    void this.adopt(runId);
  }

  /** Takes a run if nobody has it. Never throws: what cannot be taken now is looked at again. */
  adopt(runId: bigint): Promise<void> {
    if (this.draining || this.drivers.has(runId)) return Promise.resolve();
    const known = this.adopting.get(runId);
    if (known !== undefined) return known;
    const adopting = this.tryAdopt(runId)
      .catch((error: unknown) => this.ground.log.warn({ err: error, runId }, 'a run could not be taken over yet'))
      .finally(() => this.adopting.delete(runId));
    this.adopting.set(runId, adopting);
    return adopting;
  }

  /** The driver of a run that is ours; UNAVAILABLE when it is another's, so that the caller asks again. */
  async driver(runId: bigint): Promise<RunDriver> {
    await this.adopting.get(runId);
    const driver = this.drivers.get(runId);
    await driver?.ready;
    if (this.draining) throw new AegisError('DRAINING');
    if (driver !== undefined) return driver;
    const run = await this.ground.stores.runs.get(runId);
    if (run === null) throw new AegisError('RUN_NOT_FOUND', `Run ${runId}.`);
    if (run.value.state === 'finished') throw new AegisError('RUN_NOT_ACTIVE', `Run ${runId}.`);
    throw new AegisError('UNAVAILABLE', `Run ${runId} is being taken over.`);
  }

  owned(runId: bigint): RunDriver | undefined {
    return this.drivers.get(runId);
  }

  /** Gives every run away. They go on where they are taken up next, here after a restart or elsewhere. */
  async drain(): Promise<void> {
    this.draining = true;
    this.timer?.cancel();
    await Promise.allSettled(this.adopting.values());
    await Promise.allSettled([...this.drivers.values()].map((driver) => driver.giveAway()));
    const leases = [...this.leases];
    this.leases.clear();
    await Promise.allSettled(
      leases.map(([runId, revision]) => this.ground.stores.leases.take(runId, NOBODY, revision)),
    );
  }

  /** What runs left here that were finished while this process was not there to see it. */
  private async clearAway(): Promise<void> {
    const { stores, log } = this.ground;
    try {
      for (const runId of await stores.intakes.runs()) {
        if (this.drivers.has(runId)) continue;
        const run = await stores.runs.get(runId);
        if (run === null || run.value.state === 'finished') await stores.intakes.removeRun(runId);
      }
    } catch (error) {
      log.warn({ err: error }, 'old intakes were not removed');
    }
  }

  private async tryAdopt(runId: bigint): Promise<void> {
    const { stores } = this.ground;
    const lease = await stores.leases.get(runId);
    if (lease === null || !this.mayTake(lease)) return;
    const run = await stores.runs.get(runId);
    if (run === null || run.value.state === 'finished') {
      // its owner ended between the lease and the document, or between the last document and the lease
      await stores.rounds.delete(runId);
      await stores.leases.remove(runId, lease.revision);
      return;
    }
    const fence = await stores.leases.take(runId, this.ownership.owner, lease.revision);
    this.watched.delete(runId);
    this.leases.set(runId, fence);
    const driver = new RunDriver(this.ground, run, await stores.rounds.get(runId), fence);
    this.drivers.set(runId, driver);
    void driver.ended.finally(() => this.dismiss(runId, driver));
  }

  private mayTake(lease: Lease): boolean {
    if (lease.owner === NOBODY || lease.owner === this.ownership.owner) return true;
    const now = this.ground.clock.monotonic();
    const watched = this.watched.get(lease.runId);
    if (watched?.revision === lease.revision) return now - watched.since >= this.ownership.leaseMs;
    this.watched.set(lease.runId, { revision: lease.revision, since: now });
    return false;
  }

  private async dismiss(runId: bigint, driver: RunDriver): Promise<void> {
    if (this.draining || this.drivers.get(runId) !== driver) return;
    const revision = this.leases.get(runId);
    this.leases.delete(runId);
    if (driver.record().state !== 'finished') {
      this.drivers.delete(runId);
      return;
    }
    // late answers are told so for a while
    this.ground.clock.schedule(this.ownership.leaseMs, () => this.drivers.delete(runId));
    if (revision !== undefined) await this.ground.stores.leases.remove(runId, revision).catch(() => {});
  }

  private again(): void {
    if (this.draining) return;
    this.timer = this.ground.clock.schedule(this.ownership.leaseMs / 3, () => {
      void this.look().finally(() => this.again());
    });
  }

  private async look(): Promise<void> {
    try {
      await Promise.all([...this.leases].map(([runId, revision]) => this.renew(runId, revision)));
      const open = await this.ground.stores.leases.list();
      const free = open.filter(({ runId }) => !this.drivers.has(runId) && !this.reserved.has(runId));
      await Promise.all(free.map((lease) => this.adopt(lease.runId)));
    } catch (error) {
      this.ground.log.warn({ err: error }, 'the leases cannot be read; trying again');
    }
  }

  private async renew(runId: bigint, revision: number): Promise<void> {
    try {
      const next = await this.ground.stores.leases.take(runId, this.ownership.owner, revision);
      if (this.leases.get(runId) === revision) this.leases.set(runId, next);
    } catch (error) {
      // an outage is waited out; the documents still protect the run
      if (!(error instanceof StaleWrite) || (await this.stillOurs(runId))) return;
      this.leases.delete(runId);
      await this.drivers.get(runId)?.giveAway();
      this.drivers.delete(runId);
    }
  }

  private async stillOurs(runId: bigint): Promise<boolean> {
    const lease = await this.ground.stores.leases.get(runId);
    if (lease?.owner !== this.ownership.owner) return false;
    this.leases.set(runId, lease.revision);
    return true;
  }
}
