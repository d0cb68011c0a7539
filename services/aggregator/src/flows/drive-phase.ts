import { AegisError } from '@aegis/errors';
import type { Span } from '@opentelemetry/api';
import { cohortOf } from '../domain/flower-secagg/progress.ts';
import type { ModelInfo } from '../domain/model.ts';
import { hidesCohort } from '../domain/private-round.ts';
import {
  isOpen,
  type Member,
  type RoundEffect,
  type RoundEnd,
  type RoundInput,
  type RoundState,
} from '../domain/round.ts';
import { phaseName } from '../domain/round-report.ts';
import { stepAll } from '../domain/round-step.ts';
import type { PhaseReport } from '../domain/run.ts';
import type { IntakeRoom } from '../store/contract.ts';
import { drawCohort } from './draw-cohort.ts';
import type { FencedDocument } from './fenced-document.ts';
import { FlowerRound } from './flower-round.ts';
import type { Ground } from './ground.ts';
import { MaskedRound } from './masked-round.ts';
import type { OpenRound } from './open-round.ts';
import { PaidRound } from './pay-round.ts';
import { type PhaseResult, reportPhase } from './report-phase.ts';
import { sharedTask } from './shared-task.ts';
import { PhaseAnswers } from './take-answers.ts';
import { untilAvailable } from './until-available.ts';
import { nodesNow, type TakingPart } from './who-may-take-part.ts';

export interface PhaseSetting extends TakingPart {
  /** What the nodes start from; null for the initial model. */
  readonly model: ModelInfo | null;
  readonly document: FencedDocument<RoundState>;
  readonly traceparent: string;
  /** Under which the answers are kept. */
  readonly epoch: number;
  /** Aborted when the run is given away or the service stops. */
  readonly signal: AbortSignal;
}

/**
 * Drives one phase: feeds the round machine what happens and carries out what it asks for. One input after the other, what
 * arrived together in one step; saved before shown. Nothing here waits on a timer that an event could end.
 */
export class PhaseDriver {
  readonly report: Promise<PhaseReport>;
  answers: PhaseAnswers;
  private state: RoundState;
  private readonly ground: Ground;
  private readonly setting: PhaseSetting;
  private readonly resolve: (report: PhaseReport) => void;
  private readonly reject: (error: unknown) => void;
  private readonly inputs: { input: RoundInput; done: () => void; failed: (error: unknown) => void }[] = [];
  private pumping: Promise<void> | null = null;
  /** The newest save that was begun; it holds all that was decided before it. */
  private saving: Promise<void> = Promise.resolve();
  private timer: { cancel(): void } | null = null;
  private readonly unsubscribe: () => void;
  /** What was counted before a restart is known to the round before it hears who has gone meanwhile. */
  private isBegun = false;
  private readonly selecting: Span | null;
  /** Unix time when the monotonic clock stood at 0, as it was when this phase was opened. */
  private readonly epoch: number;
  private finishing: Promise<void> = Promise.resolve();
  private reserving: Promise<void> = Promise.resolve();
  /** Of a private run: what its rounds owe the ledger. */
  private readonly paying: PaidRound;
  private readonly masked: MaskedRound;
  private readonly flower: FlowerRound;
  private result: PhaseResult = { metrics: [], model: null };
  /** Unix milliseconds, of the last change of stage. */
  private stageSince: number;

  private constructor(
    ground: Ground,
    setting: PhaseSetting,
    state: RoundState,
    answers: (round: OpenRound) => PhaseAnswers,
  ) {
    this.ground = ground;
    this.setting = setting;
    this.state = state;
    this.epoch = ground.clock.now() - ground.clock.monotonic();
    this.stageSince = ground.clock.now();
    this.answers = answers(this.openRound());
    const round = {
      ...this.openRound(),
      answers: () => this.answers,
      postNodes: () => this.postQuietly(this.nodes()),
      signal: setting.signal,
    };
    this.paying = new PaidRound(ground, setting.plan, round);
    this.masked = new MaskedRound(ground, setting.plan, setting.model, round);
    this.flower = new FlowerRound(ground, setting.plan, round);
    const { promise, resolve, reject } = Promise.withResolvers<PhaseReport>();
    promise.catch(() => {});
    this.report = promise;
    this.resolve = resolve;
    this.reject = reject;
    const parent = setting.traceparent || undefined;
    this.selecting = state.stage === 'selecting' ? ground.telemetry.startSpan('select', { parent }) : null;
    const nodesChanged = (): void => {
      if (this.isBegun) this.postQuietly(this.nodes());
    };
    const stopPresence = ground.peers.presence.onChange(nodesChanged);
    const stopConsents = setting.plan.consent && ground.peers.consents.onChange(nodesChanged);
    this.unsubscribe = () => {
      stopPresence();
      stopConsents?.();
    };
  }

  /** Begins the phase, or goes on with it where a process before left off. */
  static async open(ground: Ground, setting: PhaseSetting, state: RoundState): Promise<PhaseDriver> {
    const answers = await openAnswers(ground, setting, roomOf(state));
    const phase = new PhaseDriver(ground, setting, state, answers);
    if (state.stage !== 'selecting') await phase.resume();
    phase.isBegun = true;
    phase.postQuietly(phase.nodes());
    return phase;
  }

  view(): RoundState {
    return this.state;
  }

  /** Unix milliseconds: when it last moved on or got an answer. */
  progressAt(): number {
    const { lastAt } = this.answers;
    return lastAt === null ? this.stageSince : Math.max(this.stageSince, this.epoch + lastAt);
  }

  knows(taskId: string): boolean {
    return this.state.members.has(taskId);
  }

  /** Resolves when what was decided up to now is saved. Until then nobody may be told of it: after a crash it was never decided. */
  saved(): Promise<void> {
    return this.saving;
  }

  stop(): Promise<void> {
    return this.post({ type: 'stop' });
  }

  /** Lets go of everything; what is durable stays for the next owner. */
  async close(): Promise<void> {
    this.unsubscribe();
    this.timer?.cancel();
    this.selecting?.end();
    this.flower.close();
    for (const { failed } of this.inputs.splice(0)) failed(new AegisError('DRAINING'));
    await Promise.all([this.finishing, this.reserving, this.pumping]);
    await this.answers.close();
  }

  /** The answers were put to use: nothing of them is needed any more. */
  async forget(): Promise<void> {
    const { masking, ended } = this.state;
    if (masking !== undefined && ended?.end === 'completed') this.masked.end(this.state, masking, 'the round is over');
    await this.close();
    await this.ground.stores.intakes.remove(roomOf(this.state), this.setting.epoch);
    await this.masked.settled();
  }

  // --- what goes in -------------------------------------------------------------------------------------------------------

  private openRound(): OpenRound {
    return {
      state: () => this.state,
      post: (input) => this.post(input),
      mark: (input) => {
        this.state = stepAll(this.state, [input], this.time()).state;
      },
      parent: () => this.parent(),
      takes: (nodeId) => this.masked.takes(nodeId),
      checkFlower: (task, said) => this.flower.check(task, said),
      heardFlower: () => this.flower.heard(),
      untilAvailable: (work) => this.untilAvailable(work),
    };
  }

  private nodes(): RoundInput {
    return nodesNow(this.ground, this.setting, this.state);
  }

  private postQuietly(input: RoundInput): void {
    this.post(input).catch(() => {});
  }

  private post(input: RoundInput): Promise<void> {
    if (this.setting.signal.aborted) return Promise.reject(new AegisError('DRAINING'));
    return new Promise((done, failed) => {
      this.inputs.push({ input, done, failed });
      this.pumping ??= this.pump();
    });
  }

  private async pump(): Promise<void> {
    // what else happens in this turn of the event loop is decided, and saved, together
    await Promise.resolve();
    while (this.inputs.length > 0 && !this.setting.signal.aborted) {
      const batch = this.inputs.splice(0);
      try {
        await this.take(batch.map((item) => item.input));
        for (const { done } of batch) done();
      } catch (error) {
        for (const { failed } of batch) failed(this.setting.signal.aborted ? new AegisError('DRAINING') : error);
        this.reject(error);
        break;
      }
    }
    for (const { failed } of this.inputs.splice(0)) failed(new AegisError('DRAINING'));
    this.pumping = null;
  }

  private async take(inputs: readonly RoundInput[]): Promise<void> {
    const effects: RoundEffect[] = [];
    for (let pending = inputs; pending.length > 0; ) {
      const next = stepAll(this.state, pending, this.time());
      if (next.state.stage !== this.state.stage) this.stageSince = this.time();
      this.state = next.state;
      effects.push(...next.effects.filter((effect) => effect.do !== 'draw'));
      const draw = next.effects.find((effect) => effect.do === 'draw');
      pending = draw === undefined ? [] : [(await this.newlyUnwilling(draw)) ?? this.draw(draw)];
    }
    if (effects.some((effect) => effect.do === 'save')) this.saving = this.setting.document.save(this.state);
    await this.saving;
    for (const effect of effects) await this.carryOut(effect);
  }

  /** The nodes anew, if one that could be drawn has withdrawn its consent unheard: nobody is asked by what was true a moment ago. */
  private async newlyUnwilling({ from }: RoundEffect & { do: 'draw' }): Promise<RoundInput | null> {
    const { consent } = this.setting.plan;
    if (consent === undefined) return null;
    const { consents } = this.ground.peers;
    await this.untilAvailable(() => consents.refresh());
    const agreed = consents.agreed(consent, this.state.runId);
    return from.every((node) => agreed.has(node)) ? null : this.nodes();
  }

  private draw(draw: RoundEffect & { do: 'draw' }): RoundInput {
    this.selecting?.end();
    return drawCohort(this.ground, this.setting, this.state, draw);
  }

  // --- what comes out -----------------------------------------------------------------------------------------------------

  private async carryOut(effect: RoundEffect): Promise<void> {
    switch (effect.do) {
      case 'draw':
      case 'save':
        break;
      case 'dispatch':
        await this.dispatch(effect.tasks);
        // what was withdrawn between the draw and now was news to a round that was not collecting yet
        if (this.setting.plan.consent !== undefined) this.postQuietly(this.nodes());
        break;
      case 'reserve':
        this.reserving = this.paying.reserve(this.state);
        break;
      case 'release':
        await this.paying.release(effect.reservationId, effect.reason);
        break;
      case 'mask':
        if (this.state.rules.flower !== undefined) this.flower.lead(this.state);
        else this.masked.mask(this.state);
        break;
      case 'open-masked':
        this.masked.open(this.state);
        break;
      case 'await-sharing':
        this.masked.follow(this.state);
        break;
      case 'end-masked':
        this.masked.end(this.state, effect.masking, effect.reason);
        break;
      case 'withdraw':
        this.withdraw(effect.tasks);
        break;
      case 'wake':
        this.wakeAt(effect.at);
        break;
      case 'miss':
        this.ground.peers.presence.miss(effect.nodes);
        break;
      case 'discard':
        await this.discard();
        break;
      case 'log':
        this.ground.peers.feed.log(this.state.runId, effect.line);
        break;
      case 'finish':
        this.finishing = this.finish();
        break;
      case 'end':
        this.timer?.cancel();
        this.unsubscribe();
        this.resolve(this.reportOf(effect.end, effect.reason));
    }
  }

  private dispatch(members: readonly Member[]): Promise<void> {
    const { telemetry, peers } = this.ground;
    const { runId, flower } = this.state;
    const shared = sharedTask(this.setting, this.state);
    const cohort = hidesCohort(this.state.rules.privacy) ? {} : { 'aegis.cohort': members.length };
    const attributes = { ...this.attributes(), ...cohort };
    return telemetry.inSpan('dispatch', { parent: this.parent(), attributes }, async () => {
      const asked = (nodeId: bigint) => (flower === undefined ? {} : { flower: this.flower.requestTo(nodeId) });
      const tasks = members.map(({ taskId, nodeId }) => ({ ...shared, taskId, nodeId, ...asked(nodeId) }));
      await this.untilAvailable(() => peers.mailbox.put(tasks));
      peers.feed.changed(runId);
    });
  }

  /**
   * Behind the round, which waits for no removal: an answer stands whether or not its task has left the mailbox. What a crash leaves
   * there is looked for when the run is taken up again or swept (drive-run.ts, withdrawStrays).
   */
  private withdraw(members: readonly Member[]): void {
    this.untilAvailable(() => this.ground.peers.mailbox.withdraw(members)).catch(() => {});
  }

  private wakeAt(at: number): void {
    const { clock } = this.ground;
    this.timer?.cancel();
    this.timer = clock.schedule(Math.max(at - this.time(), 0), () => this.postQuietly({ type: 'tick' }));
  }

  private async discard(): Promise<void> {
    await this.answers.close();
    const before = { ...roomOf(this.state), attempt: this.state.attempt - 1 };
    await this.ground.stores.intakes.remove(before, this.setting.epoch);
    const answers = await openAnswers(this.ground, this.setting, roomOf(this.state));
    this.answers = answers(this.openRound());
    this.postQuietly(this.nodes());
  }

  /** Puts the answers together. A full disk is waited for: nothing is lost, the round only takes longer. */
  private async finish(): Promise<void> {
    const { telemetry, measures, clock, log, peers } = this.ground;
    const { kind, round, runId } = this.state;
    const begun = clock.monotonic();
    try {
      const name = kind === 'evaluate' ? 'evaluate' : 'finish';
      await telemetry.inSpan(name, { parent: this.parent(), attributes: this.attributes() }, async () => {
        if (this.state.masking !== undefined) {
          this.result = await this.paying.settle(this.state, await this.masked.finish(this.state));
          return;
        }
        if (this.state.flower !== undefined) {
          this.result = await this.flower.finish(this.state);
          return;
        }
        const { metrics, notes } = this.answers.counted.metrics();
        for (const note of notes) peers.feed.log(runId, `round ${round}, ${kind}: ${note}`);
        if (this.state.rules.privacy !== undefined) this.result = await this.paying.finish(this.state);
        else {
          const model = kind === 'evaluate' ? null : await this.untilAvailable(() => this.answers.counted.writeModel());
          this.result = { metrics: kind === 'initial-model' ? [] : metrics, model };
        }
      });
      if (kind === 'train') measures.finishSeconds.record((clock.monotonic() - begun) / 1000);
      this.postQuietly({ type: 'finished' });
    } catch (error) {
      if (this.setting.signal.aborted) return;
      const isMasked = this.state.masking !== undefined || this.state.flower !== undefined;
      const reason = isMasked ? MaskedRound.failureOf(error) : null;
      if (reason !== null) {
        log.warn({ err: error, runId, round, kind }, 'a masked round opened nothing');
        measures.maskedAttempts.add(1, { kind, outcome: AegisError.from(error).code });
        this.postQuietly({ type: 'mask-failed', reason, again: true });
        return;
      }
      log.error({ err: error, runId, round, kind }, 'a round could not be finished');
      this.postQuietly({ type: 'finish-failed', reason: AegisError.from(error).message });
    }
  }

  private reportOf(end: RoundEnd, reason: string): PhaseReport {
    const { flower, dispatchedAt, openedAt } = this.state;
    const seconds = (this.time() - (flower?.begunAt ?? dispatchedAt ?? openedAt)) / 1000;
    const members = cohortOf(this.state.members, flower);
    const { lastAt, bytesReceived } = this.answers;
    const bytesSent = (this.setting.model?.bytes ?? 0) * members.size;
    return reportPhase(this.ground, { ...this.state, members }, { end, reason }, this.result, {
      seconds,
      lastAt,
      bytesSent,
      bytesReceived,
    });
  }

  // ------------------------------------------------------------------------------------------------------------------------

  private async resume(): Promise<void> {
    const { peers } = this.ground;
    const { runId, members } = this.state;
    const recorded = await this.answers.recall();
    peers.presence.assume([...members.values()].filter(isOpen).map((member) => member.nodeId));
    const answers = hidesCohort(this.state.rules.privacy) ? '' : ` with ${recorded.size} of ${members.size} answers`;
    peers.feed.log(runId, `${phaseName(this.state)}: resumed after a restart${answers}`);
    this.postQuietly({ type: 'resumed', recorded });
    if (this.state.flower?.stage === 'unmask') this.flower.heard();
  }

  /** Unix milliseconds that never step: a deadline is neither reached nor put off by setting the machine's clock. */
  private time(): number {
    return this.epoch + this.ground.clock.monotonic();
  }

  private parent(): string | undefined {
    return this.state.traceparent || this.setting.traceparent || undefined;
  }

  private attributes() {
    const { runId, round, kind } = this.state;
    return { 'aegis.run_id': String(runId), 'aegis.round': round, 'aegis.kind': kind };
  }

  private untilAvailable<T>(work: () => Promise<T>): Promise<T> {
    return untilAvailable(work, this.ground, this.state.runId, this.setting.signal);
  }
}

/** A process that is being replaced may still hold the room for a moment. */
async function openAnswers(ground: Ground, { plan, model, epoch, signal }: PhaseSetting, room: IntakeRoom) {
  const intake = await untilAvailable(() => ground.stores.intakes.open(room, model, epoch), ground, room.runId, signal);
  return (round: OpenRound) => new PhaseAnswers(ground, plan, model, round, intake);
}

const roomOf = ({ runId, round, kind, attempt }: RoundState): IntakeRoom => ({ runId, round, kind, attempt });
