import { AegisError } from '@aegis/errors';
import { removeNode as removed } from '../domain/node.ts';
import { failOpenTasks } from './fail-task.ts';
import type { Gateway } from './gateway.ts';
import { lookGone } from './heartbeat.ts';

/** Expels: its key is refused from now on at every gateway, and its rounds stop waiting for it. */
export const removeNode = async (gateway: Gateway, nodeId: bigint): Promise<void> => {
  const now = gateway.clock.now();
  const record = await gateway.nodes.change(nodeId, (latest) =>
    latest.activity === 'removed' ? latest : removed(latest, now),
  );
  if (!record) throw new AegisError('NODE_NOT_FOUND', `Node ${nodeId}.`);
  lookGone(gateway, nodeId);
  await failOpenTasks(gateway, nodeId, 'The node was removed.');
  gateway.log.info({ node: nodeId }, 'node removed');
};
