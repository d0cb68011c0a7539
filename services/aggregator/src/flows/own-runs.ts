import { AegisError } from '@aegis/errors';
import { StaleWrite } from '../store/contract.ts';
import { RunDriver } from './drive-run.ts';
import type { Ground } from './ground.ts';

export interface Ownership {
  /** The same after a restart on the same state directory, and nobody else's. */
  readonly owner: string;
  /** A lease not renewed for this long belongs to nobody. */
  readonly leaseMs: number;
}

interface Watched {
  readonly revision: number;
  readonly since: number;
}

/**
 * Which runs this process drives. A lease says who works on a run, so that two do not try; what keeps a paused old owner from
 * writing is the revision of the documents (fenced-document.ts), not the lease. Expiry is judged by the challenger's own clock:
 * a lease whose revision has not moved for `leaseMs` is free. An owner that restarts finds its own leases and goes on at once.
 */
export class RunOwner {
  private readonly ground: Ground;
  private readonly ownership: Ownership;
  private readonly drivers = new Map<bigint, RunDriver>();
  private readonly leases = new Map<bigint, number>();
  private readonly watched = new Map<bigint, Watched>();
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
    this.again();
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
    if (driver !== undefined) return driver;
    if (this.draining) throw new AegisError('DRAINING');
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
    await Promise.allSettled(leases.map(([runId, revision]) => this.ground.stores.leases.release(runId, revision)));
  }

  private async tryAdopt(runId: bigint): Promise<void> {
    const { stores, clock } = this.ground;
    const run = await stores.runs.get(runId);
    if (run === null || run.value.state === 'finished') return;
    const lease = await stores.leases.get(runId);
    if (lease !== null && lease.value !== this.ownership.owner) {
      const watched = this.watched.get(runId);
      if (watched?.revision !== lease.revision) {
        this.watched.set(runId, { revision: lease.revision, since: clock.now() });
        return;
      }
      if (clock.now() - watched.since < this.ownership.leaseMs) return;
    }
    const fence = await stores.leases.take(runId, this.ownership.owner, lease?.revision ?? null);
    this.watched.delete(runId);
    this.leases.set(runId, fence);
    const driver = new RunDriver(this.ground, run, await stores.rounds.get(runId), fence);
    this.drivers.set(runId, driver);
    void driver.ended.finally(() => this.dismiss(runId, driver));
  }

  private async dismiss(runId: bigint, driver: RunDriver): Promise<void> {
    if (this.draining || this.drivers.get(runId) !== driver) return;
    // kept while finished runs may still be asked about; late answers are told so
    if (driver.record().state !== 'finished') this.drivers.delete(runId);
    else this.ground.clock.schedule(this.ownership.leaseMs, () => this.drivers.delete(runId));
    const revision = this.leases.get(runId);
    this.leases.delete(runId);
    if (revision !== undefined) await this.ground.stores.leases.release(runId, revision).catch(() => {});
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
      const unfinished = (await this.ground.stores.runs.list()).filter((run) => run.state !== 'finished');
      await Promise.all(unfinished.map((run) => this.adopt(run.runId)));
    } catch (error) {
      this.ground.log.warn({ err: error }, 'the run documents cannot be read; trying again');
    }
  }

  private async renew(runId: bigint, revision: number): Promise<void> {
    try {
      const next = await this.ground.stores.leases.take(runId, this.ownership.owner, revision);
      if (this.leases.get(runId) === revision) this.leases.set(runId, next);
    } catch (error) {
      // an outage is waited out; its documents still protect the run
      if (!(error instanceof StaleWrite) || (await this.stillOurs(runId))) return;
      this.leases.delete(runId);
      await this.drivers.get(runId)?.giveAway();
      this.drivers.delete(runId);
    }
  }

  private async stillOurs(runId: bigint): Promise<boolean> {
    const lease = await this.ground.stores.leases.get(runId);
    if (lease?.value !== this.ownership.owner) return false;
    this.leases.set(runId, lease.revision);
    return true;
  }
}
