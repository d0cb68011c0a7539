import type { NodeRecord } from '../domain/node.ts';
import { failOpenTasks } from './fail-task.ts';
import type { Gateway } from './gateway.ts';
import { lookLeft } from './heartbeat.ts';

/** A node that enrolled itself takes its key back. A node that an operator registered stays registered: it only leaves. */
export const unregisterNode = async (gateway: Gateway, node: NodeRecord): Promise<void> => {
  lookLeft(gateway, node.nodeId);
  if (node.selfRegistered) await gateway.nodes.delete(node.nodeId);
  await failOpenTasks(gateway, node.nodeId, 'The node unregistered.');
};
