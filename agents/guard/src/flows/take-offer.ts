import { AegisError } from '@aegis/errors';
import { type AnswerRecord, FAILURE } from '../domain/answer.ts';
import { type Decision, judgeOffer, refusalText } from '../domain/policy.ts';
import type { Task } from '../domain/task.ts';
import { deliverAnswer } from './deliver-answer.ts';
import { type Guard, spentToday } from './guard.ts';

const AGAIN_MS = 1_000;
const deciding = new WeakMap<Guard, Set<string>>();

/**
 * The server offers a task. One that has its answer gets that answer again; one that the policy refuses gets a refusal,
 * written down before it leaves; any other waits for the SuperNode.
 */
export const takeOffer = async (guard: Guard, task: Task): Promise<void> => {
  const { journal, tasks } = guard;
  const answered = journal.answerTo(task.taskId);
  if (answered) return repeat(guard, answered);
  const under = deciding.get(guard) ?? new Set<string>();
  deciding.set(guard, under);
  if (tasks.find(task.taskId) || under.has(task.taskId)) return;
  under.add(task.taskId);
  try {
    const decision = await untilDecided(guard, task);
    if (!decision.allowed) return refuseTask(guard, task, FAILURE.refused, refusalText(decision));
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
  const { policy, runs, audit } = guard;
  try {
    const { appId, appHash } = await runs.facts(task.runId);
    const { signedBy } = await runs.app(task.runId);
    const decision = judgeOffer(policy, { ...task, appId, appHash, signedBy }, spentToday(guard));
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

export const lineOf = ({ taskId, runId, round, kind }: Task) => ({ task: taskId, run: runId.toString(), round, kind });

/** The task will have no other answer than this failure. */
export const refuseTask = (guard: Guard, task: Task, code: number, reason: string): void => {
  const { journal, tasks, audit, upstream, log, clock, say } = guard;
  const record = journal.answer({
    taskId: task.taskId,
    runId: task.runId,
    answer: { outcome: 'failure', code, reason },
    bytes: -1,
    answeredAt: clock.now(),
    verdict: null,
  });
  tasks.remove(task.taskId);
  if (record.answer.outcome !== 'failure') return;
  audit.write({ event: 'failure-reported', task: task.taskId, run: task.runId.toString(), code, reason });
  log.warn({ task: task.taskId, run: task.runId, code, reason }, 'task refused or failed');
  say(`run ${task.runId} round ${task.round} ${task.kind}: ${reason}`);
  upstream.fail(task.taskId, record.answer.code, record.answer.reason);
  journal.settle(task.taskId, { accepted: false, code: '', detail: '' });
};

const repeat = (guard: Guard, { taskId, answer, verdict }: AnswerRecord): void => {
  // Its files are gone with its verdict: the server that asks again has lost that verdict, and the task with it.
  if (answer.outcome === 'update' && verdict === null) return void deliverAnswer(guard, taskId);
  const { code, reason } =
    answer.outcome === 'failure' ? answer : { code: FAILURE.replyUnavailable, reason: 'It was answered already.' };
  guard.upstream.fail(taskId, code, reason);
};
