import { AegisError } from '@aegis/errors';
import { failSpan } from '@aegis/service-kit';
import type { Span } from '@opentelemetry/api';
import { isOpen, openRound, type RoundRules, type RoundState } from '../domain/round.ts';
import {
  begin,
  claim,
  endPhase,
  fail,
  leavesStartModel,
  type PhaseId,
  type PhaseReport,
  type RunRecord,
  roundPrivacy,
  stop,
} from '../domain/run.ts';
import { samplingOfTree } from '../domain/tree-plan.ts';
import type { Kept } from '../store/contract.ts';
import { PhaseDriver } from './drive-phase.ts';
import { endMasked } from './end-masked.ts';
import { FencedDocument, OwnershipLost } from './fenced-document.ts';
import type { Ground } from './ground.ts';
import type { Driven } from './measures.ts';
import type { Tenure } from './tenure.ts';
import { untilAvailable } from './until-available.ts';

/** Ended phases that late and repeated answers are still told apart for. */
const REMEMBERED_PHASES = 4;

/** Drives one owned run from phase to phase until it is finished. Everything it needs to go on after a crash is in the stores. */
export class RunDriver {
  readonly runId: bigint;
  /** Resolves when the run is finished or given away. */
  readonly ended: Promise<void>;
  /** Resolves when tasks of the run can be answered. */
  readonly ready: Promise<void>;
  readonly tenure: Tenure;
  private readonly ground: Ground;
  private readonly given = new AbortController();
  private readonly run: FencedDocument<RunRecord>;
  private readonly round: FencedDocument<RoundState>;
  private phase: PhaseDriver | null = null;
  private readonly past: PhaseDriver[] = [];
  private readonly answerable: () => void;
  /** Removal of what is no longer needed; nobody waits for it but the end. */
  private readonly sweeping = new Set<Promise<void>>();
  private stopping = false;
  /** The run is finished, and nothing of it is left that is of no use to anybody. */
  isSwept = false;
  private span: { round: number; span: Span } | null = null;
  /** Unix milliseconds: when it came from a phase, or from another owner. */
  private betweenSince: number;

  /** `volumeLost`: what the round had gathered is gone with its volume; it begins anew from the checkpoint. */
  constructor(
    ground: Ground,
    run: Kept<RunRecord>,
    round: Kept<RoundState> | null,
    tenure: Tenure,
    { volumeLost }: { volumeLost: boolean },
  ) {
    this.ground = ground;
    this.tenure = tenure;
    this.betweenSince = ground.clock.now();
    this.runId = run.value.runId;
    const { signal } = this.given;
    this.run = new FencedDocument(ground.stores.runs, run, ground.clock, signal);
    this.round = new FencedDocument(ground.stores.rounds, round, ground.clock, signal);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.answerable = resolve;
    this.ended = this.live(volumeLost);
  }

  record(): RunRecord {
    return this.run.value as RunRecord;
  }

  /** The phase that sent this task; RUN_NOT_ACTIVE or TASK_NOT_FOUND when there is none. */
  phaseOf(taskId: string): PhaseDriver {
    const phase = [this.phase, ...this.past].find((candidate) => candidate?.knows(taskId));
    if (phase) return phase;
    if (this.record().state === 'finished') throw new AegisError('RUN_NOT_ACTIVE', `Run ${this.runId}.`);
    throw new AegisError('TASK_NOT_FOUND', `Task ${taskId}.`);
  }

  current(): RoundState | null {
    return this.phase?.view() ?? null;
  }

  /** Where it stands, and since when it has. */
  standing(): Driven {
    const stage = this.phase?.view().stage ?? 'ended';
    if (this.phase === null || stage === 'ended') return { stage: 'between', progressAt: this.betweenSince };
    return { stage, progressAt: this.phase.progressAt() };
  }

  /**
   * Before anything is told about answers: what it rests on is saved, and the run is still ours. What a finished run's owner says stays
   * true: nobody owns it after him.
   */
  async confirm(): Promise<void> {
    try {
      await this.phase?.saved();
    } finally {
      // also when it could not be saved: then another owner is whom to ask
      if (this.record().state !== 'finished') await this.tenure.confirm();
    }
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.phase?.stop().catch(() => {});
    await this.ended;
  }

  /** Stops driving without touching the run: another owner, or this process later, goes on. */
  async giveAway(): Promise<void> {
    this.given.abort(new AegisError('DRAINING'));
    await this.ended;
  }

  private async live(volumeLost: boolean): Promise<void> {
    const { log } = this.ground;
    try {
      await this.takeOver(volumeLost);
      for (let resumable = true; this.record().state !== 'finished'; resumable = false) {
        this.given.signal.throwIfAborted();
        await this.livePhase(resumable);
      }
      await this.sweepRun();
    } catch (error) {
      await this.phase?.close().catch(() => {});
      if (this.given.signal.aborted) return;
      if (error instanceof OwnershipLost) return log.warn({ runId: this.runId }, 'the run has another owner now');
      log.error({ err: error, runId: this.runId }, 'the run cannot go on');
      await this.abandon(AegisError.from(error).message);
    } finally {
      this.answerable();
      this.endSpan();
      await Promise.allSettled(this.sweeping);
      // whatever is left in its mailboxes or timers must not come back
      this.given.abort(new AegisError('DRAINING'));
    }
  }

  /** Writes both documents before anything else: from here on every write of an earlier owner fails. */
  private async takeOver(volumeLost: boolean): Promise<void> {
    const { clock, peers } = this.ground;
    const run = this.record();
    await this.run.save(claim(run, this.tenure.epoch, clock.now()));
    const kept = this.round.value;
    const id = run.phase ?? { kind: 'train' as const, round: 0 };
    const none = { ...this.newRound(id, kept), attempt: attemptsAt(id, kept), stage: 'ended' as const };
    await this.round.save(kept === null || volumeLost ? none : kept);
    const goesOn = kept !== null && !volumeLost && run.phase !== null && isPhase(id, kept);
    // of a phase that ended without its last word, or is begun anew
    if (kept?.masking !== undefined && !goesOn) {
      const ref = { runId: this.runId, round: kept.masking.round };
      this.sweep(() => endMasked(this.ground, ref, 'its round is over', this.given.signal));
    }
    if (kept !== null && volumeLost) {
      peers.feed.log(this.runId, `the volume of run ${this.runId} is lost: round ${kept.round} begins anew`);
    }
    this.ground.peers.feed.changed(this.runId);
  }

  private async livePhase(resumable: boolean): Promise<void> {
    const { clock, stores } = this.ground;
    const run = this.record();
    const id = run.phase as PhaseId;
    if (this.stopping) return this.save(stop(run, clock.now()));
    const model = run.modelId === null ? null : await this.patiently(() => stores.models.get(run.modelId ?? ''));
    if (model === null && run.modelId !== null) throw new AegisError('MODEL_NOT_FOUND', run.modelId);
    const kept = this.round.value;
    const isOurs = kept !== null && isPhase(id, kept);
    const resumed = resumable && isOurs && (kept.stage !== 'ended' || kept.ended !== null);
    const traceparent = this.traceRound(id, resumed ? kept.traceparent : '');
    const state = resumed ? kept : this.newRound(id, kept);
    if (run.state === 'starting') await this.save(begin(run, clock.now()));
    const setting = {
      plan: run.plan,
      participation: run.participation ?? new Map(),
      model,
      document: this.round,
      traceparent,
      epoch: this.tenure.epoch,
      signal: this.given.signal,
    };
    const phase = await PhaseDriver.open(this.ground, setting, state);
    this.phase = phase;
    this.answerable();
    // a crash may have come between the end of a cohort and the last of its withdrawals
    if (resumable) this.sweep(() => this.withdrawStrays());
    if (this.stopping) phase.stop().catch(() => {});
    const report = await orAborted(phase.report, this.given.signal);
    this.betweenSince = this.ground.clock.now();
    await this.checkpoint(id, report);
    this.past.unshift(phase);
    this.past.splice(REMEMBERED_PHASES);
    this.phase = null;
    this.sweep(() => phase.forget());
  }

  /** One compare-and-set says all: which model there is now, how it came about, what comes next. */
  private async checkpoint(id: PhaseId, report: PhaseReport): Promise<void> {
    const { clock, telemetry } = this.ground;
    const after = endPhase(this.record(), report, clock.now());
    await telemetry.inSpan('checkpoint', { parent: this.traceparent() }, () => this.save(after));
    if (after.phase?.round !== id.round) this.endSpan();
  }

  /** What cannot go on must at least not keep nodes at work. */
  private async abandon(reason: string): Promise<void> {
    const { log, clock } = this.ground;
    try {
      await this.save(fail(this.record(), reason, clock.now()));
      await this.sweepRun();
    } catch (error) {
      log.error({ err: error, runId: this.runId }, 'a failed run was not put in order');
    }
  }

  /** Tasks that nobody waits for. What a cohort's own withdrawals missed would be offered to nodes before what is wanted of them. */
  private async withdrawStrays(): Promise<void> {
    const { mailbox } = this.ground.peers;
    const tasks = await mailbox.ofRun(this.runId);
    const wanted = this.phase?.view().members;
    const strays = tasks.filter(({ taskId }) => {
      const member = wanted?.get(taskId);
      return member === undefined || !isOpen(member);
    });
    await this.phase?.saved();
    await mailbox.withdraw(strays);
  }

  /** A finished run leaves its models and its record; a first model that nothing came of goes too. */
  private async sweepRun(): Promise<void> {
    this.phase = null;
    await Promise.allSettled(this.sweeping);
    const run = this.record();
    const { modelUse, stores } = this.ground;
    const { startModelId } = run;
    if (startModelId !== null && leavesStartModel(run))
      this.sweep(() => modelUse.removeUnused(stores, startModelId, run.runId));
    this.sweep(async () => {
      await this.withdrawStrays();
      await stores.intakes.removeRun(this.runId);
      await stores.rounds.delete(this.runId);
      this.isSwept = true;
    });
  }

  private sweep(work: () => Promise<void>): void {
    const done = work()
      .catch((error: unknown) => this.ground.log.warn({ err: error, runId: this.runId }, 'something was not removed'))
      .finally(() => this.sweeping.delete(done));
    this.sweeping.add(done);
  }

  private patiently<T>(work: () => Promise<T>): Promise<T> {
    return untilAvailable(work, this.ground, this.runId, this.given.signal);
  }

  private async save(run: RunRecord): Promise<void> {
    const { peers, measures, log } = this.ground;
    await this.run.save(run);
    if (run.state === 'finished') {
      measures.runs.add(1, { outcome: run.outcome ?? '' });
      log.info({ runId: run.runId, outcome: run.outcome, details: run.details, rounds: run.round }, 'run finished');
      peers.feed.log(run.runId, `run ${run.runId} ${run.outcome}${run.details === '' ? '' : `: ${run.details}`}`);
      await peers.feed.flushed(run.runId);
    }
    peers.feed.changed(run.runId);
  }

  /**
   * `kept`: what is known of the round already, on a volume that is lost. What was reserved for its attempts is not reserved again, and who was asked in
   * them has taken part.
   */
  private newRound(id: PhaseId, kept: RoundState | null): RoundState {
    const { kind, round } = id;
    const run = this.record();
    const { plan, modelId } = run;
    const deadlineSeconds = plan.deadlineSeconds;
    const privacy = roundPrivacy(run, round);
    const rules: Record<PhaseId['kind'], RoundRules> = {
      train: {
        sampling: privacy?.tree === undefined ? plan.train : samplingOfTree(privacy.tree, plan.train, round),
        minReport: plan.minReport,
        deadlineSeconds,
        tries: 2,
        optional: false,
        ...(privacy && { privacy }),
        ...(plan.secagg && { masked: true }),
        ...(plan.flowerSecagg && { flower: { stageSeconds: plan.flowerSecagg.stageSeconds } }),
      },
      evaluate: {
        sampling: plan.evaluate,
        minReport: null,
        deadlineSeconds,
        tries: 1,
        optional: true,
        ...(plan.secagg && { masked: true }),
      },
      'initial-model': {
        sampling: { fraction: 0, minNodes: 1, minAvailable: 1, overSelect: 1 },
        minReport: null,
        deadlineSeconds,
        tries: 3,
        optional: false,
      },
    };
    const opened = openRound(
      { runId: this.runId, round, rounds: plan.rounds, kind, modelId, rules: rules[kind] },
      this.ground.clock.now(),
    );
    const asked = kept !== null && isPhase(id, kept) ? kept.asked : undefined;
    return { ...opened, attempt: attemptsAt(id, kept) + 1, ...(asked && { asked }) };
  }

  /** One trace per round: training and evaluation share it; a resumed round goes on in the trace of its tasks. */
  private traceRound({ kind, round }: PhaseId, parent: string): string {
    const { telemetry } = this.ground;
    if (this.span?.round !== round) {
      this.endSpan();
      const { plan } = this.record();
      const attributes = {
        'aegis.run_id': String(this.runId),
        'aegis.round': round,
        'aegis.rounds': plan.rounds,
        'aegis.resumed': parent !== '',
        'aegis.kind': kind,
      };
      this.span = { round, span: telemetry.startSpan('round', { parent, attributes }) };
    }
    return this.traceparent() ?? '';
  }

  private traceparent(): string | undefined {
    return this.span === null ? undefined : this.ground.telemetry.traceparent(this.span.span);
  }

  private endSpan(): void {
    const run = this.run.value;
    if (this.span !== null && run?.outcome === 'failed') failSpan(this.span.span, new Error(run.details));
    this.span?.span.end();
    this.span = null;
  }
}

/** Attempts that the kept document counts for this phase. */
const attemptsAt = (id: PhaseId, kept: RoundState | null): number =>
  kept !== null && isPhase(id, kept) ? kept.attempt : 0;

const isPhase = (id: PhaseId, state: RoundState): boolean => state.kind === id.kind && state.round === id.round;

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
