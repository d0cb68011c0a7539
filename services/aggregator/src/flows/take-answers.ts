import { createHash } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { type AcceptedAnswer, type Answer, canonicalAnswer, type TaskRef } from '../domain/answer.ts';
import { judgeReport, saidIn, verdictOf } from '../domain/flower-secagg/judge.ts';
import { packedBytes } from '../domain/masking.ts';
import type { ModelInfo } from '../domain/model.ts';
import type { Plan } from '../domain/plan.ts';
import { isOpen, type Member } from '../domain/round.ts';
import { accepted, judgeAnswer, judgeMasking, judgeSize, refuse, type Verdict } from '../domain/verdict.ts';
import type { MaskedTerms, RoundIntake } from '../store/contract.ts';
import { CountedAnswers, maskedTermsOf } from './fold-answers.ts';
import type { Ground } from './ground.ts';
import type { OpenRound } from './open-round.ts';
import { tellDiskFull } from './tell-disk-full.ts';

const PART_BYTES_BESIDE_MODEL = 64 * 1024 * 1024;

/**
 * The answers to one cohort's tasks: parts made durable, answers judged once, accepted ones counted.
 * Says the same to a client that lost an acknowledgement and says everything again.
 */
export class PhaseAnswers {
  bytesReceived = 0;
  /** When the last verdict or failure came, by the monotonic clock; null = none yet. */
  lastAt: number | null = null;
  /** Of these, what counts. */
  readonly counted: CountedAnswers;
  private readonly ground: Ground;
  private readonly plan: Plan;
  private readonly model: ModelInfo | null;
  private readonly round: OpenRound;
  private readonly intake: RoundIntake;
  /** Judged or being judged: task → its answer's digest and verdict. */
  private readonly verdicts = new Map<string, { digest: string; verdict: Promise<Verdict> }>();
  /** Failures that the round has heard of, and has not settled yet: an answer to their tasks comes too late. */
  private readonly failing = new Map<string, Promise<void>>();
  private readonly taskBytes = new Map<string, number>();
  /** Work on the intake that must end before it is closed. */
  private readonly underWay = new Set<Promise<unknown>>();
  private closed = false;

  constructor(ground: Ground, plan: Plan, model: ModelInfo | null, round: OpenRound, intake: RoundIntake) {
    this.ground = ground;
    this.plan = plan;
    this.model = model;
    this.round = round;
    this.intake = intake;
    this.counted = new CountedAnswers(ground, plan, round, intake);
  }

  /** Counts again what an earlier process accepted; returns its tasks. */
  async recall(): Promise<Set<string>> {
    const { members, flower } = this.round.state();
    const before = Object.values(flower?.answered ?? {}).flat();
    const known = new Set([...members.keys(), ...before.map(({ taskId }) => taskId)]);
    const recorded = (await this.intake.recorded()).filter((answer) => known.has(answer.taskId));
    for (const answer of recorded) {
      this.verdicts.set(answer.taskId, { digest: answer.digest, verdict: Promise.resolve(accepted) });
      this.counted.count(answer);
    }
    return new Set(recorded.map((answer) => answer.taskId));
  }

  /** The task is open: its answer would be looked at. */
  waitsFor(taskId: string): boolean {
    const { members, stage } = this.round.state();
    const member = members.get(taskId);
    return member !== undefined && isOpen(member) && stage === 'collecting';
  }

  /** Parts that are not durable yet. */
  missing(task: TaskRef, parts: readonly string[]): string[] {
    this.memberToHear(task);
    return this.closed ? [] : parts.filter((part) => !this.intake.has(part));
  }

  async append(task: TaskRef, part: string, content: Uint8Array): Promise<{ deduplicated: boolean }> {
    const member = this.memberToHear(task);
    if (this.closed || this.intake.has(part)) return { deduplicated: true };
    if (!isOpen(member)) throw new AegisError('TASK_ANSWERED', `Task ${task.taskId}.`);
    const bytes = (this.taskBytes.get(task.taskId) ?? 0) + content.length;
    const limit = this.mostBytes();
    if (bytes > limit)
      throw new AegisError(
        'BODY_TOO_LARGE',
        `The parts of task ${task.taskId} have more than ${limit} bytes together.`,
      );
    this.taskBytes.set(task.taskId, bytes);
    const result = await this.during(this.intake.append(part, content));
    if (!result.deduplicated) {
      this.bytesReceived += content.length;
      this.ground.measures.intakeBytes.add(content.length, { kind: this.round.state().kind });
    }
    return result;
  }

  async read(task: TaskRef, part: string, length: number | undefined): Promise<Buffer> {
    this.memberToHear(task);
    const content = this.closed ? null : await this.during(this.intake.read(part, length));
    if (content === null) throw new AegisError('PART_NOT_FOUND', part);
    return content;
  }

  /** Resolves when the verdict is durable. The same answer again gets the same verdict, another one none. */
  submit(task: TaskRef, answer: Answer): Promise<Verdict> {
    const member = this.memberOf(task);
    const digest = createHash('sha256').update(canonicalAnswer(answer)).digest('hex');
    const known = this.verdicts.get(task.taskId);
    if (known?.digest === digest) return known.verdict;
    const before = known?.verdict ?? this.failing.get(task.taskId);
    if (before !== undefined) return answeredBefore(task, before);
    // refused by a process before this one; which answer it was is not kept
    if (member.state === 'refused') return Promise.resolve(refuse(member.code as never, member.reason));
    if (member.state === 'failed' || member.state === 'accepted')
      throw new AegisError('TASK_ANSWERED', `Task ${task.taskId}.`);
    this.refuseClosed(member);
    const verdict = this.judge(member, answer, digest);
    this.verdicts.set(task.taskId, { digest, verdict });
    // neither judged nor written: the node may try again
    verdict.catch(() => this.verdicts.delete(task.taskId));
    return verdict;
  }

  /** Resolves when it is saved. Told twice it is the same; after an answer it is none. */
  async fail(task: TaskRef, code: number, reason: string): Promise<void> {
    const member = this.memberOf(task);
    if (member.state === 'failed') return;
    const failing = this.failing.get(task.taskId);
    if (failing !== undefined) return failing;
    const known = this.verdicts.get(task.taskId);
    if (known !== undefined) return answeredBefore(task, known.verdict);
    this.refuseClosed(member);
    this.lastAt = this.ground.clock.monotonic();
    this.ground.measures.updates.add(1, { kind: this.round.state().kind, verdict: 'failed' });
    const settled = this.round.post({
      type: 'failed',
      taskId: task.taskId,
      code: String(code),
      // what went wrong on a node may say what it has: of a private run only that it did
      reason: (this.plan.privacy === undefined && oneLine(reason)) || `error ${code}`,
    });
    this.failing.set(task.taskId, settled);
    return settled.finally(() => this.failing.delete(task.taskId));
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await Promise.allSettled([...this.underWay, this.counted.folded]);
    await this.intake.close();
  }

  private judge(member: Member, answer: Answer, digest: string): Promise<Verdict> {
    const { telemetry, measures, clock } = this.ground;
    const { kind, runId, round } = this.round.state();
    const attributes = {
      'aegis.run_id': String(runId),
      'aegis.round': round,
      'aegis.kind': kind,
      'aegis.node_id': String(member.nodeId),
      'aegis.tensors': answer.tensors.length,
    };
    const parent = telemetry.traceparent() ?? this.round.parent();
    return telemetry.inSpan('intake', { parent, attributes }, async (span) => {
      const verdict = await this.judgeAndWrite(member, answer, digest);
      this.lastAt = clock.monotonic();
      const word = verdict.accepted ? 'accepted' : verdict.code;
      span.setAttribute('aegis.verdict', word);
      measures.updates.add(1, { kind, verdict: word });
      return verdict;
    });
  }

  private async judgeAndWrite(member: Member, answer: Answer, digest: string): Promise<Verdict> {
    const { taskId, nodeId } = member;
    const { kind, runId } = this.round.state();
    const { verdict, norm, weight } = await this.look(member, answer);
    // the round may have closed meanwhile, or begun anew with others
    this.refuseClosed(this.memberOf({ taskId, nodeId, runId }));
    if (!verdict.accepted) {
      await this.round.post({ type: 'refused', taskId, code: verdict.code, reason: oneLine(verdict.detail) });
      return verdict;
    }
    // from this step on the round waits for the write: a deadline cannot fall between "accepted" and "counted"
    this.round.mark({ type: 'recording', taskId });
    const tensors = kind === 'evaluate' ? [] : answer.tensors;
    const acceptedAnswer: AcceptedAnswer = { ...answer, tensors, taskId, nodeId, digest, weight, norm };
    try {
      await this.during(this.intake.record(acceptedAnswer));
    } catch (error) {
      await this.round.post({ type: 'not-recorded', taskId });
      throw error;
    }
    this.counted.count(acceptedAnswer);
    await this.round.post({ type: 'accepted', taskId });
    if (answer.flower?.stage === 'unmask') this.round.heardFlower();
    return accepted;
  }

  private async look(member: Member, answer: Answer): Promise<{ verdict: Verdict; norm: number; weight: number }> {
    const { kind, flower } = this.round.state();
    const terms = maskedTermsOf(this.round.state());
    if (flower !== undefined || answer.flower !== undefined)
      return { verdict: await this.lookFlower(member, answer), norm: 0, weight: answer.weight ?? 0 };
    const masking = judgeMasking(terms !== null, answer);
    if (!masking.accepted) return { verdict: masking, norm: 0, weight: 0 };
    if (terms !== null) return { verdict: await this.lookMasked(member, answer, terms), norm: 0, weight: 1 };
    const names = this.model?.tensors.map((tensor) => tensor.name) ?? [];
    const weight = kind === 'initial-model' ? 1 : (answer.weight ?? 0);
    let verdict = judgeAnswer(kind, answer, names, this.plan.layout.weightedByKey);
    let norm = 0;
    if (verdict.accepted && kind !== 'evaluate')
      ({ verdict, norm } = await this.during(this.intake.check(answer.tensors)));
    if (verdict.accepted) verdict = judgeSize(norm, weight);
    return { verdict, norm, weight };
  }

  private async lookFlower({ taskId, nodeId }: Member, answer: Answer): Promise<Verdict> {
    const { runId, flower } = this.round.state();
    const stage = verdictOf(() => saidIn(answer, flower?.terms));
    if (!stage.accepted || flower === undefined || answer.flower === undefined) return stage;
    const said = answer.flower;
    if (said.stage === 'collect_masked_vectors') {
      const report = judgeReport(answer, flower.terms, this.plan.layout.weightedByKey);
      if (!report.accepted) return report;
      const vector = await this.during(this.intake.flower.check(said.arrays, flower.terms));
      if (!vector.accepted) return vector;
    }
    return verdictOf(() => this.round.checkFlower({ taskId, nodeId, runId }, said));
  }

  /** A vector whose masks nobody could take away would spoil the sum: it is not counted before it is known whose can be. */
  private async lookMasked({ nodeId }: Member, answer: Answer, terms: MaskedTerms): Promise<Verdict> {
    const verdict = await this.during(this.intake.masked.check(answer.masked ?? [], terms));
    if (!verdict.accepted || (await this.round.takes(nodeId))) return verdict;
    return refuse('SECAGG_ROUND_OVER', 'It did not share its keys in time.');
  }

  /** Of the parts of one answer. */
  private mostBytes(): number {
    const terms = maskedTermsOf(this.round.state());
    // eight bytes an element, whatever the model's have
    if (this.round.state().flower !== undefined) return elementsOf(this.model) * 8 + PART_BYTES_BESIDE_MODEL;
    const { initialModelBytes } = this.ground.limits;
    const model = this.model === null ? initialModelBytes : this.model.bytes * 2;
    return (terms === null ? model : packedBytes(terms.masking)) + PART_BYTES_BESIDE_MODEL;
  }

  private memberOf(task: TaskRef): Member {
    const member = this.round.state().members.get(task.taskId);
    if (member === undefined) throw new AegisError('TASK_NOT_FOUND', `Task ${task.taskId}.`);
    if (member.nodeId !== task.nodeId) throw new AegisError('TASK_NOT_YOURS', `Task ${task.taskId}.`);
    return member;
  }

  /** Open tasks, and answered ones. */
  private memberToHear(task: TaskRef): Member {
    const member = this.memberOf(task);
    if (member.state !== 'accepted' && member.state !== 'refused') this.refuseClosed(member);
    return member;
  }

  private refuseClosed(member: Member): void {
    if (isOpen(member) && (this.round.state().stage === 'collecting' || member.state === 'recording')) return;
    this.ground.peers.presence.meet(member.nodeId);
    throw new AegisError('TASK_CLOSED', member.reason === '' ? '' : `It was dropped: ${member.reason}.`);
  }

  private during<T>(work: Promise<T>): Promise<T> {
    this.underWay.add(work);
    const over = () => void this.underWay.delete(work);
    work.then(over, (error: unknown) => {
      over();
      tellDiskFull(this.ground, this.round.state().runId, error);
    });
    return work;
  }
}

/** Only once it is certain: an answer that cannot be written leaves the task open. */
async function answeredBefore(task: TaskRef, before: Promise<unknown>): Promise<never> {
  await before;
  throw new AegisError('TASK_ANSWERED', `Task ${task.taskId}.`);
}

const elementsOf = (model: ModelInfo | null): number =>
  (model?.tensors ?? []).reduce((sum, { shape }) => sum + shape.reduce((product, axis) => product * axis, 1), 0);

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim().slice(0, 500);
