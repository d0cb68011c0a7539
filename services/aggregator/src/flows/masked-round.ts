import { AegisError, type ErrorCode } from '@aegis/errors';
import { type MaskedOutcome, type Masking, packedBytes } from '../domain/masking.ts';
import type { ModelInfo } from '../domain/model.ts';
import { type Plan, taskConfig } from '../domain/plan.ts';
import type { RoundInput, RoundState } from '../domain/round.ts';
import { phaseName } from '../domain/round-report.ts';
import type { MaskedRef, Secagg, Sharing } from '../peers/contract.ts';
import { endMasked } from './end-masked.ts';
import { getRun } from './get-run.ts';
import type { Ground } from './ground.ts';
import { maskingOf } from './masked-terms.ts';
import type { OpenRound } from './open-round.ts';
import type { PhaseResult } from './report-phase.ts';
import type { PhaseAnswers } from './take-answers.ts';

/** The round that is masked, as whoever drives it lets it be seen. */
export interface MaskableRound extends OpenRound {
  answers(): PhaseAnswers;
  /** Looks again at who is online. */
  postNodes(): void;
  readonly signal: AbortSignal;
}

/** Of these an attempt dies, and nothing was opened; the next one has fresh keys. */
const fatal: ReadonlySet<ErrorCode> = new Set([
  'SECAGG_TOO_FEW',
  'SECAGG_ROUND_OVER',
  'SECAGG_KEY_CONFLICT',
  'SECAGG_SUM',
]);

/**
 * A masked attempt and the secagg service: agree on terms before anybody is asked, learn who shared keys, have the masks of those who
 * delivered added up, take them away. Each step done again, after a crash or because its answer was lost, gives what it gave before.
 */
export class MaskedRound {
  private readonly ground: Ground;
  private readonly plan: Plan;
  private readonly model: ModelInfo | null;
  private readonly round: MaskableRound;
  /** Aborted with the attempt: what still waits for the service then waits for nothing. */
  private attempt = new AbortController();
  /** Of the attempt under way, by its terms' round. */
  private followed: { readonly round: number; readonly sharing: Promise<Sharing | null> } | null = null;
  private readonly underWay = new Set<Promise<void>>();

  constructor(ground: Ground, plan: Plan, model: ModelInfo | null, round: MaskableRound) {
    this.ground = ground;
    this.plan = plan;
    this.model = model;
    this.round = round;
  }

  /** Posts `masking` or `mask-failed`. */
  mask(state: RoundState): void {
    this.run(state, async () => {
      const { secagg, layout } = this.plan;
      if (secagg === undefined) throw new AegisError('INTERNAL', 'A round was to be masked without a plan for it.');
      const config = taskConfig(this.plan, state.kind, state.round, state.rules.privacy);
      const { run, overrides } = await getRun(this.ground, state.runId);
      const asked = { layout, config, appHash: run.app.hash, overrides };
      this.post({ type: 'masking', ...(await maskingOf(state, secagg, this.model, asked)) });
    });
  }

  /** Posts `opened` or `mask-failed`. An outage of the service is waited out. */
  open(state: RoundState): void {
    this.run(state, async () => {
      const masking = maskingIn(state);
      const cohort = [...state.members.values()].map(({ nodeId, taskId }) => ({ nodeId, taskId }));
      const modelId = this.model?.modelId ?? '';
      await this.span('secagg.open', state, () => {
        const traceparent = this.ground.telemetry.traceparent() ?? state.traceparent;
        const attempt = { runId: state.runId, round: masking.round, masking, cohort, modelId, traceparent };
        return this.asked((secagg, signal) => secagg.open(attempt, signal));
      });
      this.post({ type: 'opened' });
      // who went offline meanwhile is not waited for
      this.round.postNodes();
    });
  }

  /** Follows who shares keys, behind the round: posts `failed` for everybody who did not, or `mask-failed`. */
  follow(state: RoundState): void {
    const masking = maskingIn(state);
    if (this.followed?.round === masking.round) return;
    const { promise: sharing, resolve } = Promise.withResolvers<Sharing | null>();
    this.followed = { round: masking.round, sharing };
    this.run(state, async () => {
      try {
        const settled = await this.span('secagg.sharing', state, () => this.sharing(state, masking));
        resolve(settled);
        this.exclude(state, settled);
      } finally {
        resolve(null);
      }
    });
  }

  /** Whether the node's vector can be taken: resolves once that is settled. */
  async takes(nodeId: bigint): Promise<boolean> {
    const state = this.round.state();
    // nodes are done with sharing before the last mailbox has said that its task is in
    if (state.stage === 'collecting' && state.masking !== undefined) this.follow(state);
    return (await this.followed?.sharing)?.participants.includes(nodeId) ?? false;
  }

  /** The model, or the metrics alone, that the sum says. What it throws ends the attempt; nothing of it was used then. */
  async finish(state: RoundState): Promise<PhaseResult> {
    const masking = maskingIn(state);
    const members = [...state.members.values()];
    const survivors = members
      .filter((member) => member.state === 'accepted')
      .map(({ nodeId }) => nodeId)
      .sort((a, b) => (a < b ? -1 : 1));
    const ref = refOf(state, masking);
    const total = await this.span('secagg.unmask', state, () =>
      this.asked((secagg, signal) => secagg.unmask(ref, survivors, signal)),
    );
    if (total.mask.length !== packedBytes(masking))
      throw new AegisError(
        'SECAGG_SUM',
        `The total mask has ${total.mask.length} bytes instead of ${packedBytes(masking)}.`,
      );
    const opened = await this.span('secagg.sum', state, () =>
      this.round.untilAvailable(() => this.round.answers().counted.openMasked(total.mask, survivors.length)),
    );
    const sharing = await this.followed?.sharing;
    const masked: MaskedOutcome = {
      cohort: members.length,
      shared: sharing?.participants.length ?? survivors.length,
      delivered: survivors.length,
      opened: total.opened.length,
    };
    this.ground.measures.maskedAttempts.add(1, { kind: state.kind, outcome: 'opened' });
    this.log(
      state,
      `masked, ${masked.shared} of ${masked.cohort} shared keys, ${masked.delivered} delivered, opened by ${masked.opened}`,
    );
    return { ...opened, masked };
  }

  /** Nobody waits for the attempt any more. In the background. */
  end(state: Pick<RoundState, 'runId'>, masking: Masking, reason: string): void {
    this.attempt.abort(new AegisError('SECAGG_ROUND_OVER', 'The attempt has ended.'));
    this.attempt = new AbortController();
    this.track(endMasked(this.ground, refOf(state, masking), reason, this.round.signal));
  }

  /** Resolves when everything under way has ended; the round's signal says that it should. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.underWay);
  }

  /** What this error means for the round: its attempt is over, another may do; null: it is no matter of masks. */
  static failureOf(error: unknown): string | null {
    const { code, message } = AegisError.from(error);
    return fatal.has(code) ? message : null;
  }

  private async sharing(state: RoundState, masking: Masking): Promise<Sharing> {
    for (;;) {
      const settled = await this.asked((secagg, signal) => secagg.awaitSharing(refOf(state, masking), signal));
      if (settled !== null) return settled;
    }
  }

  private exclude(state: RoundState, { participants, excluded }: Sharing): void {
    this.log(state, `masked, ${participants.length} of ${state.members.size} shared keys`);
    const reasons = new Map(excluded.map(({ nodeId, reason }) => [nodeId, reason]));
    const taken = new Set(participants);
    for (const { nodeId, taskId } of state.members.values()) {
      if (taken.has(nodeId)) continue;
      const reason = reasons.get(nodeId) || 'it did not share its keys in time';
      this.post({ type: 'failed', taskId, code: 'SECAGG_ROUND_OVER', reason });
    }
  }

  private run(state: RoundState, work: () => Promise<void>): void {
    const { ground, round } = this;
    this.track(
      work().catch((error: unknown) => {
        if (round.signal.aborted) return;
        const failure = MaskedRound.failureOf(error);
        const told = AegisError.from(error);
        if (failure === null && told.code !== 'PLAN_INVALID')
          ground.log.error({ err: error, runId: state.runId, round: state.round }, 'a round could not be masked');
        ground.measures.maskedAttempts.add(1, { kind: state.kind, outcome: told.code });
        this.post({ type: 'mask-failed', reason: failure ?? told.message, again: failure !== null });
      }),
    );
  }

  private track(work: Promise<void>): void {
    const done: Promise<void> = work.finally(() => this.underWay.delete(done));
    this.underWay.add(done);
  }

  private post(input: RoundInput): void {
    this.round.post(input).catch(() => {});
  }

  /** An outage of the service is waited out, as long as the attempt lives and the run is ours. */
  private asked<T>(question: (secagg: Secagg, signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = AbortSignal.any([this.round.signal, this.attempt.signal]);
    return this.round.untilAvailable(async () => {
      signal.throwIfAborted();
      const { secagg } = this.ground.peers;
      if (secagg === null) throw new AegisError('SECAGG_ROUND_OVER', 'There is no secagg service any more.');
      return question(secagg, signal);
    });
  }

  private span<T>(name: string, state: RoundState, work: () => Promise<T>): Promise<T> {
    const attributes = {
      'aegis.run_id': String(state.runId),
      'aegis.round': state.round,
      'aegis.kind': state.kind,
      'aegis.attempt': state.attempt,
    };
    return this.ground.telemetry.inSpan(name, { parent: this.round.parent(), attributes }, work);
  }

  private log(state: RoundState, line: string): void {
    this.ground.peers.feed.log(state.runId, `${phaseName(state)}: ${line}`);
  }
}

const refOf = ({ runId }: Pick<RoundState, 'runId'>, { round }: Masking): MaskedRef => ({ runId, round });

function maskingIn({ masking }: RoundState): Masking {
  if (masking === undefined) throw new AegisError('INTERNAL', 'A round is masked without terms.');
  return masking;
}
