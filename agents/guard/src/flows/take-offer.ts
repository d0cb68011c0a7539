import { AegisError } from '@aegis/errors';
import { type AnswerRecord, FAILURE } from '../domain/answer.ts';
import { judgeOffer } from '../domain/policy.ts';
import { type Decision, refusalText } from '../domain/rules.ts';
import type { Task } from '../domain/task.ts';
import { deliverAnswer } from './deliver-answer.ts';
import { type Guard, spentToday } from './guard.ts';
import { joinRound } from './masked-round.ts';
import { lineOf, refuseTask } from './refuse-task.ts';
import { inTaskSpan } from './task-span.ts';

const AGAIN_MS = 1_000;
const deciding = new WeakMap<Guard, Set<string>>();

/**
 * The server offers a task. One that has its answer gets that answer again; one that the policy refuses gets a refusal,
 * written down before it leaves; any other waits for the SuperNode.
 */
export const takeOffer = async (guard: Guard, offered: Task): Promise<void> => {
  const { journal, tasks } = guard;
  // A masked round goes on as it was begun: what its vector starts from and what the SuperNode is given are one task.
  const task = journal.masked(offered.taskId)?.task ?? offered;
  const answered = journal.answerTo(task.taskId);
  if (answered) return repeat(guard, answered);
  const under = deciding.get(guard) ?? new Set<string>();
  deciding.set(guard, under);
  if (tasks.find(task.taskId) || under.has(task.taskId)) return;
  under.add(task.taskId);
  try {
    const decision = await inTaskSpan(guard, 'guard.offer', task, async (tell) => {
      const made = await untilDecided(guard, task);
      tell('aegis.allowed', made.allowed);
      return made;
    });
    if (!decision.allowed) return refuseTask(guard, task, FAILURE.refused, refusalText(decision));
    if (task.masking !== null && !(await joinRound(guard, task, task.masking))) return;
    // A round that goes on after a restart may have the SuperNode's answer.
    if (journal.masked(task.taskId)?.update) return;
    tasks.put(task);
    guard.held.wake();
  } finally {
    under.delete(task.taskId);
  }
};

const untilDecided = async (guard: Guard, task: Task): Promise<Decision> => {
  for (;;) {
    await guard.upstream.connected(guard.ending);
    const decision = await decide(guard, task);
    if (decision !== null) return decision;
    await guard.clock.sleep(AGAIN_MS, guard.ending);
  }
};

/** null: the server could not say just now what the task belongs to. */
const decide = async (guard: Guard, task: Task): Promise<Decision | null> => {
  const { policy, runs, audit, journal, signing } = guard;
  try {
    const { appId, appHash } = await runs.facts(task.runId);
    const { signedBy } = await runs.app(task.runId);
    const masks = { wasMasked: journal.lastMasking(task.runId) !== null, canMask: signing !== null };
    const decision = judgeOffer(policy, { ...task, ...masks, appId, appHash, signedBy }, spentToday(guard));
    const about = { ...lineOf(task), app: appId, appHash };
    if (decision.allowed) audit.write({ event: 'offer-allowed', ...about, signedBy });
    else audit.write({ event: 'offer-refused', ...about, rule: decision.rule, reason: decision.reason });
    return decision;
  } catch (caught) {
    const error = AegisError.from(caught);
    if (error.entry.kind === 'unavailable') return null;
    // Whatever else the server says of the run, nothing can be decided by it.
    const refusal = { allowed: false, rule: 'apps', reason: error.message } as const;
    audit.write({
      event: 'offer-refused',
      ...lineOf(task),
      app: '',
      appHash: '',
      rule: refusal.rule,
      reason: refusal.reason,
    });
    return refusal;
  }
};

const repeat = (guard: Guard, { taskId, answer, verdict }: AnswerRecord): void => {
  // Its files are gone with its verdict: the server that asks again has lost that verdict, and the task with it.
  if (answer.outcome === 'update' && verdict === null) return void deliverAnswer(guard, taskId);
  const { code, reason } =
    answer.outcome === 'failure' ? answer : { code: FAILURE.replyUnavailable, reason: 'It was answered already.' };
  guard.upstream.fail(taskId, code, reason);
};
