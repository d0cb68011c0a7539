import type { Update } from '../domain/run.ts';
import type { OpenUpload, Verdict } from '../domain/upload.ts';
import { FAILURE, failTask } from './fail-task.ts';
import type { Gateway } from './gateway.ts';

/**
 * Hands in the complete answer. Whoever repeats it gets the same verdict as long as its task is in the mailbox; once the
 * task has left it, a repeated announcement is told what the aggregator says of such a task, or TASK_NOT_FOUND: the first
 * answer counts, and a client stops there either way.
 */
export const submitUpdate = async (gateway: Gateway, upload: OpenUpload, update: Update): Promise<Verdict> => {
  const verdict = await gateway.aggregator.submit(upload.record.task, update);
  settle(gateway, upload, verdict);
  return verdict;
};

/** The answer is complete, and it is no answer: the round must not wait for this node any longer. */
export const refuseUpdate = async (
  gateway: Gateway,
  upload: OpenUpload,
  code: string,
  detail: string,
): Promise<Verdict> => {
  const verdict: Verdict = { accepted: false, code, detail };
  await failTask(gateway, upload.record.task, FAILURE.replyUnavailable, `${code}: ${detail}`);
  settle(gateway, upload, verdict);
  return verdict;
};

/** The answer is complete and says that the node could not do the task: well delivered, and worth nothing. */
export const takeFailure = async (
  gateway: Gateway,
  upload: OpenUpload,
  code: number,
  reason: string,
): Promise<Verdict> => {
  const verdict: Verdict = { accepted: true };
  await failTask(gateway, upload.record.task, code, reason);
  settle(gateway, upload, verdict);
  return verdict;
};

/**
 * The verdict is written down behind the answer, which does not wait for it. A crash in between loses nothing: the aggregator
 * remembers the verdict itself, and without our note a repeated push asks it again.
 */
const settle = (gateway: Gateway, upload: OpenUpload, verdict: Verdict): void => {
  const { task } = upload.record;
  gateway.mailbox.settle(task.nodeId, task.taskId);
  gateway.observed.updateJudged(verdict.accepted ? '' : verdict.code);
  if (!verdict.accepted) {
    const { code, detail } = verdict;
    gateway.log.warn({ node: task.nodeId, task: task.taskId, run: task.runId, code, detail }, 'update refused');
  }
  gateway.uploads
    .settle(upload.record, verdict)
    .catch((error: unknown) => {
      gateway.log.warn({ node: task.nodeId, task: task.taskId, err: error }, 'verdict not written down');
    })
    .finally(() => gateway.openUploads.drop(upload));
};
