import { AegisError } from '@aegis/errors';
import type { Task } from '../domain/task.ts';
import { FAILURE, giveUp } from './fail-task.ts';
import type { Gateway } from './gateway.ts';

/**
 * A masked task is for a node that masks. The aggregator selects nobody else; should it ever, the task goes back unseen, so that
 * no answer to it leaves in the clear.
 */
export const withholdMasked = async (gateway: Gateway, task: Task): Promise<void> => {
  const error = notMasked();
  gateway.observed.taskWithheld(error.code);
  gateway.log.warn({ node: task.nodeId, task: task.taskId, run: task.runId, code: error.code }, 'task withheld');
  await giveUp(gateway, [task], FAILURE.nodeUnavailable, `${error.code}: ${error.detail}`);
};

export const notMasked = (): AegisError => new AegisError('ANSWER_NOT_MASKED', 'This node does not mask.');
