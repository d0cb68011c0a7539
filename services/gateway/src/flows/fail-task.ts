import { AegisError } from '@aegis/errors';
import { refOf, type Task, type TaskRef } from '../domain/task.ts';
import type { Gateway } from './gateway.ts';

/** Flower's own numbers for what can go wrong with a message. */
export const FAILURE = { unknown: 0, replyUnavailable: 4, nodeUnavailable: 5 } as const;

/** The task will have no answer. A round that is over already does not care. */
export const failTask = async (gateway: Gateway, task: TaskRef, code: number, reason: string): Promise<void> => {
  gateway.mailbox.telling(task.nodeId, task.taskId);
  try {
    await gateway.aggregator.failTask(refOf(task), code, reason);
  } catch (caught) {
    const error = AegisError.from(caught);
    if (error.entry.kind !== 'over' && error.entry.kind !== 'conflict') {
      gateway.mailbox.reopen(task.nodeId, task.taskId);
      throw error;
    }
  }
  gateway.mailbox.settle(task.nodeId, task.taskId);
  gateway.log.info({ node: task.nodeId, task: task.taskId, run: task.runId, reason }, 'task failed');
};

/** Best effort: the aggregator also hears that the node is offline, and the round's deadline ends what is left. */
export const failOpenTasks = async (gateway: Gateway, nodeId: bigint, reason: string): Promise<void> => {
  await giveUp(gateway, gateway.mailbox.open(nodeId), FAILURE.nodeUnavailable, reason);
};

export const giveUp = async (gateway: Gateway, tasks: readonly Task[], code: number, reason: string): Promise<void> => {
  const outcomes = await Promise.allSettled(tasks.map((task) => failTask(gateway, task, code, reason)));
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') gateway.log.warn({ err: outcome.reason }, 'a failed task could not be reported');
  }
};
