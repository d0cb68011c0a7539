import { AegisError } from '@aegis/errors';
import type { Span } from '@opentelemetry/api';
import type { FlowerSaid, TaskRef } from '../domain/answer.ts';
import { type Answer, checkKeys, type Keys, type Stage } from '../domain/flower-secagg/answer.ts';
import { type Counted, closeStage, countedIn, type FlowerProgress, roundOf } from '../domain/flower-secagg/progress.ts';
import { removalOf } from '../domain/flower-secagg/removal.ts';
import { type Request, requestTo } from '../domain/flower-secagg/request.ts';
import { afterFact, askedIn, beginRound, checkAnswer } from '../domain/flower-secagg/round.ts';
import type { Round } from '../domain/flower-secagg/state.ts';
import { termsFor } from '../domain/flower-secagg/terms.ts';
import type { Plan } from '../domain/plan.ts';
import type { Member, RoundInput, RoundState } from '../domain/round.ts';
import { phaseName } from '../domain/round-report.ts';
import type { Ground } from './ground.ts';
import type { MaskableRound } from './masked-round.ts';
import type { PhaseResult } from './report-phase.ts';

/** The stage under way, folded so far. */
interface Folded {
  readonly attempt: number;
  readonly stage: Stage;
  readonly begun: Round;
  current: Round;
  readonly heard: Set<string>;
  /** Of those whose answer is being written: nobody else may bring the same. */
  readonly keys: Map<bigint, Keys>;
}

/**
 * A round of Flower's own SecAgg+, between the pure round (domain/flower-secagg) and whoever drives it: what each node is asked, whose
 * answer counts, when a stage leads on, and the mean at the end. Keeps nothing that is not in the round's document and its intake log.
 */
export class FlowerRound {
  private readonly ground: Ground;
  private readonly plan: Plan;
  private readonly round: Pick<MaskableRound, 'state' | 'post' | 'answers' | 'parent' | 'untilAvailable'>;
  private folded: Folded | null = null;
  /** Of the stage under way, in the round's trace; after a restart from there on. */
  private span: Span | null = null;

  constructor(ground: Ground, plan: Plan, round: FlowerRound['round']) {
    this.ground = ground;
    this.plan = plan;
    this.round = round;
  }

  /** The first stage, or the one after that which was closed. Posts `asked` or `mask-failed`. */
  lead(state: RoundState): void {
    try {
      this.post(state.flower === undefined ? this.begin(state) : this.next(state, state.flower));
    } catch (error) {
      const { code, detail, message } = AegisError.from(error);
      const isOurs = code !== 'SECAGG_TOO_FEW';
      if (isOurs) this.ground.log.error({ err: error, runId: state.runId }, 'a stage could not be begun');
      this.post({ type: 'mask-failed', reason: isOurs ? message : detail, again: !isOurs });
    }
  }

  /** What a task asks: it follows from what is saved, and is the same whenever it is put. */
  requestTo(nodeId: bigint): Request {
    const request = requestTo(this.fold().begun, nodeId);
    if (request === null) throw new AegisError('INTERNAL', `Nothing is asked of node ${nodeId} in this stage.`);
    return request;
  }

  /** SECAGG_… for what cannot be counted. */
  check({ nodeId, taskId }: TaskRef, said: FlowerSaid): void {
    const folded = this.fold();
    const answer = answerOf(nodeId, said);
    checkAnswer(folded.current, answer);
    if (answer.stage !== 'setup' || folded.heard.has(taskId)) return;
    const others = [...folded.keys].filter(([node]) => node !== nodeId).map(([, keys]) => keys);
    checkKeys(answer, others);
    folded.keys.set(nodeId, answer);
  }

  /** An answer more counts: posts `enough` when the others would change nothing. */
  heard(): void {
    if (this.fold().current.stage === 'open') this.post({ type: 'enough' });
  }

  /** What it throws ends the attempt; nothing of it was used then. */
  async finish(state: RoundState): Promise<PhaseResult> {
    const { flower } = state;
    if (flower === undefined) throw new AegisError('INTERNAL', 'A round without terms was to be opened.');
    const helped = countedIn(state.members.values());
    const round = closeStage(this.fold().begun, 'unmask', helped, this.said);
    if (round.stage === 'ended') throw new AegisError(round.code, round.reason);
    if (round.stage !== 'open') throw new AegisError('INTERNAL', `The round is at the stage ${round.stage}.`);
    this.close();
    const answers = this.round.answers();
    const model = await this.ground.telemetry.inSpan('secagg.sum', { parent: this.round.parent() }, () =>
      this.round.untilAvailable(() => answers.counted.openFlower(removalOf(round))),
    );
    const { metrics, notes } = answers.counted.metrics();
    for (const note of notes) this.log(state, note);
    const masked = {
      cohort: flower.terms.ring.length,
      shared: flower.answered.share_keys?.length ?? 0,
      delivered: round.delivered.size,
      opened: helped.length,
    };
    this.ground.measures.maskedAttempts.add(1, { kind: state.kind, outcome: 'opened' });
    this.log(
      state,
      `masked by SecAgg+ (weak, see the first lines of this log), ${masked.shared} of ${masked.cohort} shared keys, ${masked.delivered} delivered, opened by ${masked.opened}`,
    );
    return { metrics, model, masked };
  }

  /** Nobody answers in a stage any more. */
  close(): void {
    this.span?.end();
    this.span = null;
  }

  private beginSpan(stage: Stage, attempt: number): void {
    this.close();
    const attributes = { 'aegis.attempt': attempt };
    this.span = this.ground.telemetry.startSpan(`secagg.${stage}`, { parent: this.round.parent(), attributes });
  }

  private begin({ members, rules }: RoundState): RoundInput {
    const { flowerSecagg } = this.plan;
    if (flowerSecagg === undefined || rules.flower === undefined)
      throw new AegisError('INTERNAL', 'A round was to be masked without a plan for it.');
    // drawn at random: its order is that of the ring
    const ring = [...members.values()].map(({ nodeId }) => nodeId);
    const terms = termsFor(flowerSecagg.settings, ring);
    const begunAt = this.ground.clock.now();
    const flower: FlowerProgress = { terms, stage: 'setup', answered: {}, left: [], begunAt };
    return this.asked(flower, beginRound(terms));
  }

  private next(state: RoundState, before: FlowerProgress): RoundInput {
    const counted = countedIn(state.members.values());
    const round = closeStage(this.fold().begun, before.stage, counted, this.said);
    if (round.stage === 'ended') throw new AegisError(round.code, round.reason);
    if (round.stage === 'open' || round.stage === before.stage)
      throw new AegisError('INTERNAL', `The stage ${before.stage} leads to ${round.stage}.`);
    const on = askedIn(round);
    const gone = [...state.members.values()].filter(({ nodeId }) => !on.has(nodeId)).map(leftBehind);
    const answered = { ...before.answered, [before.stage]: counted };
    this.log(state, `${before.stage} by ${counted.length} of ${state.members.size} nodes, ${on.size} go on`);
    return this.asked({ ...before, stage: round.stage, answered, left: [...before.left, ...gone] }, round);
  }

  private asked(flower: FlowerProgress, round: Round): RoundInput {
    const { random, clock } = this.ground;
    const tasks = [...askedIn(round)].map((nodeId): Counted => ({ nodeId, taskId: random.ulid(clock.now()) }));
    return { type: 'asked', flower, tasks };
  }

  /** Brought up to what counts by now. */
  private fold(): Folded {
    const { attempt, flower, members } = this.round.state();
    if (flower === undefined) throw new AegisError('INTERNAL', 'The round has no terms yet.');
    const { stage } = flower;
    if (this.folded?.attempt !== attempt || this.folded.stage !== stage) {
      const begun = roundOf(flower, this.said);
      this.beginSpan(stage, attempt);
      this.folded = { attempt, stage, begun, current: begun, heard: new Set(), keys: new Map() };
    }
    const folded = this.folded;
    for (const { nodeId, taskId } of members.values()) {
      const answer = folded.heard.has(taskId) ? null : this.said({ nodeId, taskId }, stage);
      if (answer === null) continue;
      folded.heard.add(taskId);
      folded.current = afterFact(folded.current, { kind: 'answer', answer });
    }
    return folded;
  }

  private readonly said = ({ nodeId, taskId }: Counted, stage: Stage): Answer | null => {
    const said = this.round.answers().counted.flowerSaid(taskId);
    return said?.stage === stage ? answerOf(nodeId, said) : null;
  };

  private post(input: RoundInput): void {
    this.round.post(input).catch(() => {});
  }

  private log(state: RoundState, line: string): void {
    this.ground.peers.feed.log(state.runId, `${phaseName(state)}: ${line}`);
  }
}

const answerOf = (node: bigint, said: FlowerSaid): Answer =>
  said.stage === 'collect_masked_vectors' ? { stage: said.stage, node } : { ...said, node };

/** Its answer may have counted, and the others are too far away on the ring: it is no neighbour of enough of them. */
const leftBehind = (member: Member): Member =>
  member.state === 'accepted' ? { ...member, state: 'dropped', reason: 'too few of its neighbours were left' } : member;
