import type { Task } from '../domain/task.ts';
import { endRound } from './end-round.ts';
import type { Guard } from './guard.ts';

export const lineOf = ({ taskId, runId, round, kind }: Task) => ({ task: taskId, run: runId.toString(), round, kind });

/** The task will have no other answer than this failure. One that has an answer keeps it. */
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
  endRound(guard, task.taskId, reason);
  if (record.answer.outcome !== 'failure') return;
  audit.write({ event: 'failure-reported', task: task.taskId, run: task.runId.toString(), code, reason });
  log.warn({ task: task.taskId, run: task.runId, code, reason }, 'task refused or failed');
  say(`run ${task.runId} round ${task.round} ${task.kind}: ${reason}`);
  upstream.fail(task.taskId, record.answer.code, record.answer.reason);
  journal.settle(task.taskId, { accepted: false, code: '', detail: '' });
};
