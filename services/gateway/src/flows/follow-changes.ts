import type { NodeRecord } from '../domain/node.ts';
import type { Gateway } from './gateway.ts';
import { lookGone } from './heartbeat.ts';

/** A record changed, here or at another gateway: whoever left or was removed there is gone here too. */
export const followNode = (gateway: Gateway, nodeId: bigint, record: NodeRecord | null): void => {
  if (record === null || record.activity === 'deactivated' || record.activity === 'removed') lookGone(gateway, nodeId);
};

/** Tasks come and go with the aggregator's word; a node that waits hears at once. */
export const followTasks = async (gateway: Gateway, signal: AbortSignal): Promise<void> =>
  gateway.tasks.follow(
    {
      put: (task) => {
        if (gateway.mailbox.put(task)) gateway.held.wake(task.nodeId);
      },
      withdrawn: (nodeId, taskId) => {
        if (gateway.mailbox.withdraw(nodeId, taskId)) gateway.held.wake(nodeId);
        gateway.openUploads.dropTask(nodeId, taskId);
      },
    },
    signal,
  );
