import { deactivateNode as deactivated, type NodeRecord } from '../domain/node.ts';
import type { Gateway } from './gateway.ts';
import { lookLeft } from './heartbeat.ts';

/** The node leaves its work, and may come back. Its held pull ends empty. */
export const deactivateNode = async (gateway: Gateway, node: NodeRecord): Promise<void> => {
  const now = gateway.clock.now();
  await gateway.nodes.change(node.nodeId, (latest) =>
    latest.activity === 'removed' ? latest : deactivated(latest, now),
  );
  lookLeft(gateway, node.nodeId);
  gateway.log.info({ node: node.nodeId }, 'node left');
};
