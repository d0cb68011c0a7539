import { AegisError } from '@aegis/errors';
import type { Task } from '../domain/task.ts';
import type { Gateway } from './gateway.ts';

/** A task of this node, as heard so far; for a gateway that is asked before it heard, as it stands in the store. */
export const findTask = async (gateway: Gateway, nodeId: bigint, taskId: string): Promise<Task> => {
  const heard = gateway.mailbox.find(nodeId, taskId);
  if (heard) return heard;
  const stored = (await gateway.tasks.ofNode(nodeId)).find((task) => task.taskId === taskId);
  if (!stored) throw new AegisError('TASK_NOT_FOUND', `Task ${taskId.slice(0, 80)}.`);
  return stored;
};
