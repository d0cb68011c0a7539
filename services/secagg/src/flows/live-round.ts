import { type MaskRemoval, type Roster, termsDigest } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { type Fact, nameOf } from '../domain/fact.ts';
import type { NodeId, Opened } from '../domain/masking.ts';
import { afterFact, timedStage } from '../domain/round.ts';
import { beginRound, drawn } from '../domain/stages/advertise.ts';
import type { Openable, Round, Unmasking } from '../domain/state.ts';
import { neighboursOf, removalOf, rosterOf } from './round-core.ts';
import type { RoundGround } from './round-ground.ts';
import { StageSpans } from './stage-spans.ts';

const RETRY_MS = 1_000;

/** A round in this process: the fold of its facts as the store tells them, who waits for what, and the clock of its stage. */
export class LiveRound {
  readonly opened: Opened;
  /** Of the terms: what every request names. */
  readonly digest: string;
  readonly nodeOfTask: ReadonlyMap<string, NodeId>;
  lastUsedAt: number;
  readonly #ground: RoundGround;
  readonly #over = new AbortController();
  readonly #spans: StageSpans;
  readonly #caughtUp = Promise.withResolvers<void>();
  /** Called when the stage changes, when more was opened than is needed, or when nothing more will happen. */
  readonly #waiting = new Set<() => void>();
  readonly #told = new Set<string>();
  readonly #untilTold = new Map<string, PromiseWithResolvers<void>>();
  readonly #underWay = new Map<string, Promise<unknown>>();
  #state: Round;
  #isCaughtUp = false;
  #timer: { cancel(): void } | null = null;
  #failure: unknown;
  #roster: Roster | null = null;
  #removal: MaskRemoval | null = null;

  constructor(ground: RoundGround, opened: Opened) {
    this.#ground = ground;
    this.opened = opened;
    this.digest = termsDigest(opened.terms);
    this.nodeOfTask = new Map(opened.cohort.map(({ taskId, node }) => [taskId, node]));
    this.#state = beginRound(opened);
    this.#spans = new StageSpans(ground.telemetry, opened);
    this.lastUsedAt = ground.clock.monotonic();
    this.#caughtUp.promise.catch(() => {});
    void this.#follow();
  }

  get state(): Round {
    return this.#state;
  }

  /** It has ended, or its facts cannot be followed any more. */
  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  /** Resolves when what was written before this process heard of the round is known. */
  ready(): Promise<void> {
    return this.#caughtUp.promise;
  }

  /** Writes a fact down, and resolves when it is part of the state: this one, or the one of its name that was first. */
  async add(fact: Fact): Promise<void> {
    const name = nameOf(fact);
    await this.#ground.store.add(this.opened.ref, fact);
    if (this.#told.has(name) || this.isOver) return this.#rethrow();
    const told = this.#untilTold.get(name) ?? Promise.withResolvers<void>();
    this.#untilTold.set(name, told);
    await told.promise;
    this.#rethrow();
  }

  /** What the round has come to, as soon as it has; null when the time is over first. Rejects with the signal's reason. */
  async until<T>(settled: (round: Round) => T | null, holdMs: number, signal: AbortSignal): Promise<T | null> {
    const deadline = this.#ground.clock.monotonic() + holdMs;
    for (;;) {
      signal.throwIfAborted();
      this.lastUsedAt = this.#ground.clock.monotonic();
      const outcome = settled(this.#state);
      if (outcome !== null) return outcome;
      this.#rethrow();
      const left = deadline - this.lastUsedAt;
      if (left <= 0 || this.isOver) return null;
      await this.#change(left, signal);
    }
  }

  /** The roster in the core; there is one once adverts are closed. */
  get roster(): Roster {
    if (this.#state.stage === 'ended' || this.#state.stage === 'advertise')
      throw new AegisError('INTERNAL', 'No roster.');
    this.#roster ??= rosterOf(this.#state);
    return this.#roster;
  }

  /** What checks openings. It takes none: which ones count is settled by the order of facts. */
  removal(state: Unmasking | Openable): MaskRemoval {
    this.#removal ??= removalOf(state);
    return this.#removal;
  }

  /** Does a thing once, however many ask while it is being done. */
  once<T>(name: string, work: () => Promise<T>): Promise<T> {
    const underWay = this.#underWay.get(name) as Promise<T> | undefined;
    if (underWay) return underWay;
    const begun = work().finally(() => this.#underWay.delete(name));
    this.#underWay.set(name, begun);
    return begun;
  }

  /** This process turns away from the round; what was written stays. */
  leave(failure?: unknown): void {
    if (this.isOver) return;
    this.#failure = failure;
    this.#over.abort();
    this.#timer?.cancel();
    this.#spans.end();
    this.#caughtUp.reject(failure ?? new AegisError('UNAVAILABLE', 'The service goes away.'));
    for (const told of this.#untilTold.values()) told.resolve();
    this.#wake();
  }

  async #follow(): Promise<void> {
    const { store } = this.#ground;
    try {
      for await (const item of store.follow(this.opened.ref, this.#over.signal)) {
        if (item === 'caught-up') this.#begin();
        else this.#take(item);
        if (this.#state.stage === 'ended' && this.#isCaughtUp) break;
      }
      this.leave();
    } catch (error) {
      this.#ground.log.error({ err: error, run: this.opened.ref.runId }, 'a masked round cannot be followed');
      this.leave(error);
    }
  }

  #begin(): void {
    this.#isCaughtUp = true;
    this.#stageBegan();
    this.#caughtUp.resolve();
    if (this.#state.stage === 'ended' && !this.#told.has('ended')) void this.#writeEnd(this.#state);
  }

  #take(fact: Fact): void {
    const before = this.#state.stage;
    let next = afterFact(this.#state, fact);
    if (next.stage === 'draw') {
      this.#roster = rosterOf(next);
      next = drawn(next, neighboursOf(this.#roster, next));
    }
    this.#state = next;
    const name = nameOf(fact);
    this.#told.add(name);
    this.#untilTold.get(name)?.resolve();
    this.#untilTold.delete(name);
    if (next.stage === 'open') this.#wake();
    if (next.stage === before || !this.#isCaughtUp) return;
    this.#count(next);
    this.#stageBegan();
    this.#wake();
    if (next.stage === 'ended' && fact.kind !== 'ended') void this.#writeEnd(next);
  }

  #stageBegan(): void {
    this.#timer?.cancel();
    this.#spans.begin(this.#state);
    const stage = timedStage(this.#state);
    if (stage === null || this.isOver) return;
    const close = (): void => {
      this.#ground.store.add(this.opened.ref, { kind: 'closed', stage }).catch((error: unknown) => {
        this.#ground.log.warn({ err: error, stage }, 'the end of a stage is not written down; trying again');
        if (this.#state.stage === stage && !this.isOver) this.#timer = this.#ground.clock.schedule(RETRY_MS, close);
      });
    };
    this.#timer = this.#ground.clock.schedule(this.opened.stageSeconds * 1000, close);
  }

  /** Too few are left: whatever was opened is forgotten, and stays so whoever asks next. */
  async #writeEnd({ code, reason }: Extract<Round, { stage: 'ended' }>): Promise<void> {
    try {
      await this.#ground.store.end(this.opened.ref, { kind: 'ended', code, reason });
    } catch (error) {
      this.#ground.log.warn(
        { err: error, run: this.opened.ref.runId },
        'the end of a masked round is not written down',
      );
    }
  }

  #count(state: Round): void {
    const { measures, log } = this.#ground;
    const { runId, round } = this.opened.ref;
    if (state.stage === 'mask') for (const { reason } of state.excluded) measures.excluded.add(1, { reason });
    if (state.stage === 'ended') measures.ended.add(1, { code: state.code });
    const reason = state.stage === 'ended' ? state.reason : undefined;
    log.info({ run: runId, round, stage: state.stage, reason }, 'masked round');
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  async #change(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = Number.isFinite(ms) ? this.#ground.clock.schedule(ms, resolve) : null;
    this.#waiting.add(resolve);
    const gone = (): void => resolve();
    signal.addEventListener('abort', gone, { once: true });
    await promise;
    signal.removeEventListener('abort', gone);
    this.#waiting.delete(resolve);
    timer?.cancel();
  }

  #rethrow(): void {
    if (this.#failure === undefined) return;
    throw new AegisError('UNAVAILABLE', 'The masked round cannot be followed just now.', this.#failure);
  }
}
