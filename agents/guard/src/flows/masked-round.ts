import { CoreError } from '@aegis/core-native';
import { refusalOf, SecaggClient } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { FAILURE } from '../domain/answer.ts';
import { DONE, type MaskedRound } from '../domain/masked-round.ts';
import { type Masking, type Stage, stageAfter } from '../domain/masking.ts';
import { refusalText } from '../domain/rules.ts';
import type { Task } from '../domain/task.ts';
import type { StageRequest } from '../peers/contract.ts';
import { deliverAnswer } from './deliver-answer.ts';
import { endRound } from './end-round.ts';
import type { Guard } from './guard.ts';
import { lineOf, refuseTask } from './refuse-task.ts';
import { advertise } from './stages/advertise.ts';
import { confirm } from './stages/confirm.ts';
import { mask } from './stages/mask.ts';
import { share } from './stages/share.ts';
import type { StageWork } from './stages/stage.ts';
import { unmask } from './stages/unmask.ts';
import { inTaskSpan } from './task-span.ts';

// A node's part in a masked round: one file for each stage. Every answer is journalled before it leaves and repeated until the server
// asks for the next stage; what was answered once is never answered otherwise, whatever ends in between.

const AGAIN_MS = 1_000;
/** What only the server says of an answer; it knows the detail, so it may be told it. */
const OF_THE_SERVICE: ReadonlySet<string> = new Set(['SECAGG_CERTIFICATE', 'SECAGG_ANSWER', 'SECAGG_SECOND_ANSWER']);
const following = new WeakMap<Guard, Set<string>>();
const stages = { share, mask, confirm, unmask } as const satisfies Partial<Record<Stage, unknown>>;

/** Begins the round of a task that the policy allowed, or goes on with it. False: its terms are refused, and the server is told. */
export const joinRound = async (guard: Guard, task: Task, masking: Masking): Promise<boolean> => {
  const { audit, signing } = guard;
  try {
    if (signing === null) throw new AegisError('SECAGG_REFUSED', 'STATE_LOST');
    await inTaskSpan(guard, 'guard.secagg.advertise', task, () => advertise(guard, task, masking, signing));
  } catch (caught) {
    guard.ending.throwIfAborted();
    const refusal = { allowed: false, rule: 'masking', reason: reasonOf(caught) } as const;
    audit.write({ event: 'round-refused', ...about(task), stage: 'advertise', ...named(caught) });
    refuseTask(guard, task, FAILURE.refused, refusalText(refusal));
    return false;
  }
  void followRound(guard, task.taskId);
  return true;
};

/** Answers stage after stage until the round is over. */
export const followRound = async (guard: Guard, taskId: string): Promise<void> => {
  const under = following.get(guard) ?? new Set<string>();
  following.set(guard, under);
  if (under.has(taskId)) return;
  under.add(taskId);
  try {
    for (let round = guard.journal.masked(taskId); round?.over === null; round = guard.journal.masked(taskId)) {
      await oneStage(guard, round);
    }
  } catch (error) {
    if (!guard.ending.aborted) guard.log.error({ err: error, task: taskId }, 'a masked round could not go on');
  } finally {
    under.delete(taskId);
  }
};

const oneStage = async (guard: Guard, round: MaskedRound): Promise<void> => {
  const { taskId } = round.task;
  let asked: StageRequest | null = null;
  try {
    if (round.stage === 'mask') await untilTaken(guard, taskId);
    asked = await untilAsked(guard, round);
    if (asked === null) return endRound(guard, taskId, DONE);
    await answer(guard, round, asked);
  } catch (caught) {
    guard.ending.throwIfAborted();
    // Somebody else has ended it, and said why.
    if (guard.journal.masked(taskId)?.over !== null) return;
    if (AegisError.from(caught).entry.kind === 'unavailable') return guard.clock.sleep(AGAIN_MS, guard.ending);
    giveUp(guard, round, asked, caught);
  }
};

/** The server has the whole vector. SECAGG_ROUND_OVER when it does not want it. */
const untilTaken = async (guard: Guard, taskId: string): Promise<void> => {
  await deliverAnswer(guard, taskId);
  const verdict = guard.journal.answerTo(taskId)?.verdict;
  if (!verdict) throw new AegisError('UNAVAILABLE');
  if (!verdict.accepted) throw new AegisError('SECAGG_ROUND_OVER', verdict.code);
};

const untilAsked = async ({ upstream, ending }: Guard, { task, stage, answer }: MaskedRound) => {
  await upstream.connected(ending);
  return upstream.stage(task.taskId, stage, answer);
};

const answer = async (guard: Guard, round: MaskedRound, { stage, request }: StageRequest): Promise<void> => {
  const { task } = round;
  const { signing } = guard;
  const { masking } = task;
  const client = await stateOf(guard, round);
  if (client === null || signing === null || masking === null) throw new AegisError('SECAGG_REFUSED', 'STATE_LOST');
  if (stage !== stageAfter(round.stage) || stage === 'advertise')
    throw new AegisError('SECAGG_REFUSED', 'OUT_OF_ORDER');
  const work: StageWork = { guard, signing, round, masking, client, request };
  await inTaskSpan(guard, `guard.secagg.${stage}`, task, () => stages[stage](work));
};

/** null: it cannot be restored, and a fresh one could give a second answer. */
const stateOf = async ({ rounds, secrets }: Guard, { task, stage }: MaskedRound): Promise<SecaggClient | null> => {
  const known = rounds.client(task.taskId);
  if (known) return known;
  const state = await secrets.open(task.taskId, stage);
  if (state === null) return null;
  try {
    const client = SecaggClient.restore(state);
    rounds.hold(task.taskId, client);
    return client;
  } catch {
    return null;
  } finally {
    state.fill(0);
  }
};

/** The round is over for this node; the owner is told why, the server as little as it needs. */
const giveUp = (guard: Guard, round: MaskedRound, asked: StageRequest | null, caught: unknown): void => {
  const { task } = round;
  const { audit, log } = guard;
  const { reason, detail } = named(caught);
  endRound(guard, task.taskId, reason);
  log.warn({ task: task.taskId, stage: asked?.stage, reason, detail }, 'the masked round is over for this node');
  if (asked === null && reason === 'SECAGG_ROUND_OVER') {
    refuseTask(guard, task, FAILURE.replyUnavailable, 'The masked round is over for this node.');
    return;
  }
  const stage = asked?.stage ?? round.stage;
  audit.write({ event: 'round-refused', ...about(task), stage, reason, detail });
  const why = detail === '' ? reason : `${reason} (${detail})`;
  guard.say(`run ${task.runId} round ${task.round}: ${why} at the stage ${stage}; nothing more is said in this round`);
  const refusal =
    asked === null && OF_THE_SERVICE.has(reason)
      ? `The secagg service refuses what this node said at the stage ${stage}: ${why}.`
      : `The data owner's guard refuses: ${reason} at the stage ${stage} (masking).`;
  refuseTask(guard, task, FAILURE.refused, refusal);
};

const about = (task: Task) => {
  const { task: taskId, run } = lineOf(task);
  return { task: taskId, run };
};

/** A refusal of the core, or what else was wrong, by its name. */
const named = (caught: unknown): { reason: string; detail: string } => {
  const refusal = refusalOf(caught);
  if (caught instanceof CoreError) {
    const { reason: _reason, ...facts } = caught.detail;
    return { reason: refusal ?? caught.code, detail: Object.values(facts).join(' ') };
  }
  const { code, detail = '' } = AegisError.from(caught);
  const [reason = '', ...rest] = detail.split(': ');
  return code === 'SECAGG_REFUSED' ? { reason, detail: rest.join(': ') } : { reason: code, detail };
};

const reasonOf = (caught: unknown): string => {
  const { reason, detail } = named(caught);
  return detail === '' ? reason : `${reason}, ${detail}`;
};
