import { AegisError } from '@aegis/errors';
import type { NodeRecord } from '../domain/node.ts';
import type { StageAnswer, StageNews } from '../domain/stage.ts';
import type { Task, TaskRef } from '../domain/task.ts';
import type { Gateway } from './gateway.ts';
import { notMasked } from './withhold-masked.ts';

const nothing = Buffer.alloc(0);

/**
 * Hands a node's answer to one stage on, and waits for what it is asked next. The answer is durable after the first call: what
 * waits longer asks without it, so that a gateway holds no shares of a whole cohort. Rejects with the signal's reason.
 */
export const exchangeStage = async (
  gateway: Gateway,
  task: TaskRef,
  { stage, answer }: StageAnswer,
  signal: AbortSignal,
): Promise<Exclude<StageNews, { what: 'nothing-yet' }>> => {
  let news = await gateway.secagg.exchange(task, { stage, answer }, signal);
  while (news.what === 'nothing-yet') {
    signal.throwIfAborted();
    news = await gateway.secagg.exchange(task, { stage, answer: nothing }, signal);
  }
  return news;
};

/**
 * The task of a stage's answer. It leaves the mailbox with its Submit, and the last stages come after that: then what was kept of its
 * upload says whose it is. Whether it is part of a round at all is for the secagg service to say.
 */
export const findMaskedTask = async (
  gateway: Gateway,
  { nodeId, canMask }: NodeRecord,
  taskId: string,
  inHand: Task | undefined,
): Promise<TaskRef> => {
  if (!canMask) throw notMasked();
  const task =
    inHand ??
    gateway.mailbox.find(nodeId, taskId) ??
    (await gateway.uploads.find(nodeId, taskId))?.task ??
    (await gateway.tasks.ofNode(nodeId)).find((stored) => stored.taskId === taskId);
  if (!task) throw new AegisError('SECAGG_ROUND_OVER', 'Nothing is known of its task.');
  return task;
};
