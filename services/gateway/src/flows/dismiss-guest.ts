import type { NodeRecord } from '../domain/node.ts';
import { failOpenTasks } from './fail-task.ts';
import type { Gateway } from './gateway.ts';
import { lookLeft } from './heartbeat.ts';

/** Its connection closed, so it is no more. */
export const dismissGuest = async (gateway: Gateway, { nodeId }: NodeRecord): Promise<void> => {
  lookLeft(gateway, nodeId);
  gateway.log.info({ node: nodeId }, 'node left');
  await failOpenTasks(gateway, nodeId, 'The client left.');
};
