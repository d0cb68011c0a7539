import { AegisError, isErrorCode } from '@aegis/errors';
import type { Opened, RoundRef } from '../domain/masking.ts';
import { over } from '../domain/refuse.ts';
import type { KeptRound } from '../store/contract.ts';
import { LiveRound } from './live-round.ts';
import type { RoundGround } from './round-ground.ts';

/** A round that nobody has asked about for so long is let go; it comes back from the store. */
const IDLE_MS = 3_600_000;

/** The rounds that this process has in hand. */
export class LiveRounds {
  readonly #ground: RoundGround;
  readonly #byRef = new Map<string, LiveRound>();
  #isDraining = false;

  constructor(ground: RoundGround) {
    this.#ground = ground;
  }

  /** Without those that are over and not let go yet. */
  get size(): number {
    return [...this.#byRef.values()].filter((live) => !live.isOver).length;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  has(ref: RoundRef): boolean {
    return this.#byRef.has(keyOf(ref));
  }

  /** Throws how the round ended, if it has, and SECAGG_ROUND_OVER when there is none. */
  async get(ref: RoundRef): Promise<LiveRound> {
    const live = this.#byRef.get(keyOf(ref));
    if (live && !live.isOver) return this.#ready(live);
    return this.#ready(this.live(openedOf(await this.#ground.store.find(ref))));
  }

  /** The round that a task is part of. */
  async ofTask(runId: string, taskId: string): Promise<LiveRound> {
    for (const live of this.#byRef.values()) {
      if (live.opened.ref.runId === runId && live.nodeOfTask.has(taskId) && !live.isOver) return this.#ready(live);
    }
    const opened = await this.#ground.store.openOf(runId);
    const found = opened.find(({ cohort }) => cohort.some((participant) => participant.taskId === taskId));
    if (!found) throw over('There is no such round, or it has ended.');
    return this.#ready(this.live(found));
  }

  /** Of a round that the store has. */
  live(opened: Opened): LiveRound {
    if (this.#isDraining) throw new AegisError('DRAINING');
    const key = keyOf(opened.ref);
    const known = this.#byRef.get(key);
    if (known && !known.isOver) return known;
    this.#letGo();
    const live = new LiveRound(this.#ground, opened);
    this.#byRef.set(key, live);
    return live;
  }

  /** Whoever waits is told that there is nothing yet; what was written stays. */
  drain(): void {
    this.#isDraining = true;
    for (const live of this.#byRef.values()) live.leave();
    this.#byRef.clear();
  }

  async #ready(live: LiveRound): Promise<LiveRound> {
    await live.ready();
    return live;
  }

  #letGo(): void {
    const since = this.#ground.clock.monotonic() - IDLE_MS;
    for (const [key, live] of this.#byRef) {
      if (live.lastUsedAt < since) live.leave();
      if (live.isOver) this.#byRef.delete(key);
    }
  }
}

const openedOf = (kept: KeptRound | null): Opened => {
  if (kept === null) throw over('There is no such round.');
  if (kept.state === 'open') return kept.opened;
  throw new AegisError(isErrorCode(kept.code) ? kept.code : 'SECAGG_ROUND_OVER', kept.reason);
};

const keyOf = ({ runId, round }: RoundRef): string => `${runId}.${round}`;
