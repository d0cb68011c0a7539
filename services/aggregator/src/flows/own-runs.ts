import { AegisError } from '@aegis/errors';
import type { TaskRef } from '../domain/answer.ts';
import type { Lease, LeaseTerms } from '../store/contract.ts';
import { RunDriver } from './drive-run.ts';
import type { Ground } from './ground.ts';
import type { Driven } from './measures.ts';
import { Tenure } from './tenure.ts';

export interface Ownership {
  /** The same after a restart on the same state directory, and nobody else's while its holder lives. */
  readonly owner: string;
  /** Of the state directory; several owners may share one. */
  readonly volume: string;
  /** Where this process answers; '' = where everybody is asked. */
  readonly address: string;
  /** A lease not renewed for this long belongs to nobody. */
  readonly leaseMs: number;
  /** A lease of another volume that stood still for this long is taken, and what its round had gathered given up. Default: never. */
  readonly abandonVolumeAfterMs?: number | undefined;
}

const NOBODY = '';
/** Not taken yet by anybody who drives. */
const FIRST_EPOCH = 0;

type From = 'itself' | 'free' | 'stale' | 'lost-volume';

/**
 * Which runs this process drives. A lease says who works on a run, so that two do not try; what keeps a paused old owner harmless
 * is said in tenure.ts. Expiry is judged by the challenger's own clock: a lease whose revision has not moved for `leaseMs` is free. An
 * owner that restarts finds its own leases and goes on at once. A run stays with the volume that has what its nodes sent: others
 * leave it alone until its owner comes back, or somebody declares the volume lost.
 */
export class RunOwner {
  private readonly ground: Ground;
  private readonly ownership: Ownership;
  private readonly drivers = new Map<bigint, RunDriver>();
  /** Others', and since when they have stood still. */
  private readonly watched = new Map<bigint, { revision: number; since: number }>();
  private readonly reserved = new Set<bigint>();
  private readonly strays = new Set<string>();
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
    await this.ground.stores.leases.take(this.terms(runId, FIRST_EPOCH), null);
  }

  /** The reserved run is written down, or will never be. */
  begin(runId: bigint): void {
    this.reserved.delete(runId);
    void this.adopt(runId);
  }

  /** Takes a run if nobody has it. Never throws: what cannot be taken now is looked at again. */
  adopt(runId: bigint): Promise<void> {
    return this.adoptOnce(runId, false).catch((error: unknown) =>
      this.ground.log.warn({ err: error, runId }, 'a run could not be taken over yet'),
    );
  }

  /**
   * The operator says that the volume of a run will not come back: its round begins anew here, from the newest checkpoint. RUN_OWNED
   * while its owner is at work; MODEL_NOT_FOUND or APP_NOT_FOUND when what it needs is not on this volume either.
   */
  async takeFromLostVolume(runId: bigint): Promise<void> {
    const run = await this.ground.stores.runs.get(runId);
    if (run === null) throw new AegisError('RUN_NOT_FOUND', `Run ${runId}.`);
    if (run.value.state === 'finished') throw new AegisError('RUN_FINISHED', `Run ${runId} is ${run.value.outcome}.`);
    await this.adoptOnce(runId, true);
    if (!this.drivers.has(runId)) throw new AegisError('RUN_OWNED', `Run ${runId}.`);
  }

  /** The driver of a run that is ours; UNAVAILABLE when it is another's, so that the caller asks again. */
  async driver(runId: bigint): Promise<RunDriver> {
    await this.adopting.get(runId)?.catch(() => {});
    const driver = this.drivers.get(runId);
    await driver?.ready;
    if (this.draining) throw new AegisError('DRAINING');
    if (driver !== undefined) return driver;
    const run = await this.ground.stores.runs.get(runId);
    if (run === null) throw new AegisError('RUN_NOT_FOUND', `Run ${runId}.`);
    if (run.value.state === 'finished') throw new AegisError('RUN_NOT_ACTIVE', `Run ${runId}.`);
    throw new AegisError('UNAVAILABLE', `Run ${runId} is with another aggregator, or being taken over.`);
  }

  /** Nobody waits for an answer to the task. Once a while is enough, however often its node asks. */
  withdrawStray(task: TaskRef): void {
    const { taskId } = task;
    if (this.strays.has(taskId)) return;
    this.strays.add(taskId);
    this.ground.clock.schedule(this.ownership.leaseMs, () => this.strays.delete(taskId));
    this.ground.peers.mailbox
      .withdraw([task])
      .catch((error: unknown) => this.ground.log.warn({ err: error, taskId }, 'a stray task stays'));
  }

  owned(runId: bigint): RunDriver | undefined {
    return this.drivers.get(runId);
  }

  /** Where the runs that are driven here stand. */
  driven(): Driven[] {
    return [...this.drivers.values()]
      .filter((driver) => driver.record().state !== 'finished')
      .map((driver) => driver.standing());
  }

  /** Gives every run away. They go on where they are taken up next, here after a restart or elsewhere. */
  async drain(): Promise<void> {
    this.draining = true;
    this.timer?.cancel();
    await Promise.allSettled(this.adopting.values());
    const drivers = [...this.drivers.values()];
    await Promise.allSettled(drivers.map((driver) => driver.giveAway()));
    await Promise.allSettled(drivers.map(({ tenure }) => (tenure.isOver ? undefined : tenure.giveBack())));
  }

  private adoptOnce(runId: bigint, volumeLost: boolean): Promise<void> {
    if (this.draining || this.drivers.has(runId)) return Promise.resolve();
    const known = this.adopting.get(runId);
    if (known !== undefined) return volumeLost ? known.then(() => this.adoptOnce(runId, true)) : known;
    const adopting = this.tryAdopt(runId, volumeLost).finally(() => this.adopting.delete(runId));
    this.adopting.set(runId, adopting);
    return adopting;
  }

  /** What runs left here that were finished while this process was not there to see it. */
  private async clearAway(): Promise<void> {
    const { stores, log } = this.ground;
    try {
      for (const runId of await stores.intakes.runs()) if (!this.drivers.has(runId)) await this.clearAwayAfter(runId);
    } catch (error) {
      log.warn({ err: error }, 'old intakes were not removed');
    }
  }

  private async clearAwayAfter(runId: bigint): Promise<void> {
    const { stores, log } = this.ground;
    const run = await stores.runs.get(runId);
    if (run?.value.state === 'finished') await stores.intakes.removeRun(runId);
    // the coordination store is younger than the volume, or another: nothing is thrown away on its word
    else if (run === null)
      log.warn({ runId }, 'the volume has answers to a run that the store does not know; they stay');
  }

  private async tryAdopt(runId: bigint, volumeLost: boolean): Promise<void> {
    const { stores, peers, clock, log, measures } = this.ground;
    const lease = await stores.leases.get(runId);
    const from = lease === null ? null : this.takes(lease, volumeLost);
    if (lease === null || from === null) return;
    const run = await stores.runs.get(runId);
    if (run === null || run.value.state === 'finished') {
      // its owner ended between the lease and the document, or between the last document and the lease
      await peers.mailbox.withdraw(await peers.mailbox.ofRun(runId));
      const masking = (await stores.rounds.get(runId))?.value.masking;
      if (masking !== undefined) await peers.secagg?.end({ runId, round: masking.round }, 'the run is over');
      if (lease.volume === this.ownership.volume) await stores.intakes.removeRun(runId);
      await stores.rounds.delete(runId);
      await stores.leases.remove(runId, lease.revision);
      return;
    }
    if (from === 'lost-volume') await this.refuseWithout(run.value);
    const begun = clock.monotonic();
    const terms = this.terms(runId, lease.epoch + 1);
    const revision = await stores.leases.take(terms, lease.revision);
    this.watched.delete(runId);
    if (lease.epoch !== FIRST_EPOCH) measures.takeovers.add(1, { from });
    const facts = { runId, epoch: terms.epoch, owner: lease.owner, volume: lease.volume };
    if (from === 'stale') log.warn(facts, 'a run was taken over: its owner did not renew its lease');
    if (from === 'lost-volume')
      log.error(facts, 'a run was taken from a volume that is lost: what its round had gathered is given up');
    const tenure = new Tenure(stores.leases, clock, this.ownership.leaseMs, terms, revision, begun);
    const volumeIsLost = { volumeLost: from === 'lost-volume' };
    const driver = new RunDriver(this.ground, run, await stores.rounds.get(runId), tenure, volumeIsLost);
    this.drivers.set(runId, driver);
    void driver.ended.finally(() => this.dismiss(runId, driver));
  }

  private terms(runId: bigint, epoch: number): LeaseTerms {
    const { owner, address, volume } = this.ownership;
    return { runId, owner, address, volume, epoch };
  }

  /** From whom a run may be taken now; null: not at all. */
  private takes(lease: Lease, volumeLost: boolean): From | null {
    const { owner, volume, leaseMs, abandonVolumeAfterMs } = this.ownership;
    if (lease.volume === volume) {
      if (lease.owner === owner) return 'itself';
      if (lease.owner === NOBODY) return 'free';
      return this.stoodStillFor(lease) >= leaseMs ? 'stale' : null;
    }
    const stood = this.stoodStillFor(lease);
    const declared = volumeLost && (lease.owner === NOBODY || stood >= leaseMs);
    return declared || (abandonVolumeAfterMs !== undefined && stood >= abandonVolumeAfterMs) ? 'lost-volume' : null;
  }

  private stoodStillFor(lease: Lease): number {
    const now = this.ground.clock.monotonic();
    const watched = this.watched.get(lease.runId);
    if (watched?.revision === lease.revision) return now - watched.since;
    this.watched.set(lease.runId, { revision: lease.revision, since: now });
    return 0;
  }

  /** Without its model or its app a run would only fail here. */
  private async refuseWithout({
    runId,
    modelId,
    app,
  }: {
    runId: bigint;
    modelId: string | null;
    app: { hash: string };
  }) {
    const { models, apps } = this.ground.stores;
    if (modelId !== null && (await models.get(modelId)) === null)
      throw new AegisError(
        'MODEL_NOT_FOUND',
        `${modelId}, which run ${runId} goes on from, is not on this volume; import it first.`,
      );
    if ((await apps.fab(app.hash)) === null)
      throw new AegisError(
        'APP_NOT_FOUND',
        `${app.hash} of run ${runId} is not on this volume; start it here once and stop it.`,
      );
  }

  private async dismiss(runId: bigint, driver: RunDriver): Promise<void> {
    if (this.draining || this.drivers.get(runId) !== driver) return;
    if (driver.record().state !== 'finished') {
      this.drivers.delete(runId);
      // a room that it opened late, on a slow disk, may have come after its successor had swept the run
      await this.clearAwayAfter(runId).catch((error: unknown) =>
        this.ground.log.warn({ err: error, runId }, 'what is left of the run was not looked for'),
      );
      return;
    }
    // late answers are told so for a while
    this.ground.clock.schedule(this.ownership.leaseMs, () => this.drivers.delete(runId));
    // a lease that stays is looked at again, and what is left of its run removed then
    if (driver.isSwept) await driver.tenure.remove().catch(() => {});
  }

  private again(): void {
    if (this.draining) return;
    this.timer = this.ground.clock.schedule(this.ownership.leaseMs / 3, () => {
      void this.look().finally(() => this.again());
    });
  }

  private async look(): Promise<void> {
    try {
      await Promise.all([...this.drivers].map(([runId, driver]) => this.renew(runId, driver)));
      const open = await this.ground.stores.leases.list();
      const free = open.filter(({ runId }) => !this.drivers.has(runId) && !this.reserved.has(runId));
      await Promise.all(free.map((lease) => this.adopt(lease.runId)));
    } catch (error) {
      this.ground.log.warn({ err: error }, 'the leases cannot be read; trying again');
    }
  }

  private async renew(runId: bigint, driver: RunDriver): Promise<void> {
    if (driver.record().state === 'finished') return;
    // an outage is waited out: until then nothing is confirmed
    await driver.tenure.renew().catch(() => {});
    if (!driver.tenure.isOver) return;
    this.ground.measures.losses.add(1);
    this.ground.log.warn({ runId, epoch: driver.tenure.epoch }, 'the run has another owner now');
    await driver.giveAway();
    if (this.drivers.get(runId) === driver) this.drivers.delete(runId);
  }
}
