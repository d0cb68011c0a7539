import { AegisError } from '@aegis/errors';
import type { Plan } from '../domain/plan.ts';
import type { RoundState } from '../domain/round.ts';
import type { Ground } from './ground.ts';
import type { OpenRound } from './open-round.ts';
import { commitRound, releaseRound, reserveRound } from './private-round.ts';
import type { PhaseResult } from './report-phase.ts';
import type { PhaseAnswers } from './take-answers.ts';

/** The round that is paid for, as whoever drives it lets it be seen. */
export interface PayingRound extends OpenRound {
  answers(): PhaseAnswers;
  /** Looks again at who is online. */
  postNodes(): void;
  readonly signal: AbortSignal;
}

/**
 * A private round and the ledger: reserve before anybody is asked, noise once and seal, commit, and only then it may leave. Each step done
 * again, after a crash or because its answer was lost, gives what it gave before; what nobody can be sure of stays spent.
 */
export class PaidRound {
  private readonly ground: Ground;
  private readonly plan: Plan;
  private readonly round: PayingRound;

  constructor(ground: Ground, plan: Plan, round: PayingRound) {
    this.ground = ground;
    this.plan = plan;
    this.round = round;
  }

  /** Posts `reserved` or `not-reserved`. An outage of the ledger is waited out. */
  async reserve(state: RoundState): Promise<void> {
    const { ground, plan, round } = this;
    const post = (input: Parameters<OpenRound['post']>[0]) => void round.post(input).catch(() => {});
    try {
      const answer = await round.untilAvailable(() => reserveRound(ground, plan, state, round.parent()));
      // the run was stopped meanwhile: nobody was asked under this reservation
      if (answer.type === 'reserved' && round.state().stage === 'ended') {
        await releaseRound(ground, answer.reservationId, 'the run was stopped', round.parent());
        return;
      }
      post(answer);
      // who went offline meanwhile is not waited for
      round.postNodes();
    } catch (error) {
      if (round.signal.aborted) return;
      ground.log.error({ err: error, runId: state.runId, round: state.round }, 'a round could not be reserved');
      post({ type: 'not-reserved', reason: AegisError.from(error).message });
    }
  }

  /** Only what is provably not sealed is given back; a ledger that cannot be told keeps it as spent. */
  async release(reservationId: string, reason: string): Promise<void> {
    const { ground, round } = this;
    try {
      if (!(await round.answers().counted.hasNoised()))
        await releaseRound(ground, reservationId, reason, round.parent());
    } catch (error) {
      ground.log.warn({ err: error, runId: round.state().runId, reservationId }, 'a reservation stays spent');
    }
  }

  /**
   * A sum that nodes noised is open: paid for with the noise that is in it, and only then it may leave. Of a round that promises nothing the same
   * result. Its model was kept before; opened again, it is the same.
   */
  async settle(state: RoundState, result: PhaseResult): Promise<PhaseResult> {
    const { ground, plan, round } = this;
    const { model } = result;
    if (state.rules.privacy === undefined || model === null) return result;
    const noised = { model, clipBits: null };
    const privacy = await round.untilAvailable(() => commitRound(ground, plan, state, noised, round.parent()));
    return { ...result, privacy };
  }

  /** Noised and sealed, then paid for; the checkpoint follows. */
  async finish(state: RoundState): Promise<PhaseResult> {
    const { ground, plan, round } = this;
    const attributes = { 'aegis.run_id': String(state.runId), 'aegis.round': state.round };
    const noise = () => round.untilAvailable(() => round.answers().counted.writeNoised());
    const noised = await ground.telemetry.inSpan('noise', { attributes }, noise);
    const privacy = await round.untilAvailable(() => commitRound(ground, plan, state, noised));
    return { metrics: [], model: noised.model, privacy };
  }
}
