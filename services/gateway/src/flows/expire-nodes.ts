import { expireNode } from '../domain/node.ts';
import type { Gateway } from './gateway.ts';
import { lookGone, presentAs } from './heartbeat.ts';

/** Nodes that were silent for too long are offline; they may come back any time. */
export const expireNodes = (gateway: Gateway): void => {
  const { clock, roster, mailbox } = gateway;
  const expired = roster.expire(clock.monotonic(), (nodeId) => mailbox.isAtTask(nodeId));
  for (const { nodeId, lastSeenAt: lastSeen } of expired) {
    const lastSeenAt = clock.now() - (clock.monotonic() - lastSeen);
    gateway.presence.changed([{ nodeId, online: false }]);
    lookGone(gateway, nodeId);
    gateway.log.info({ node: nodeId }, 'node silent, counted as offline');
    gateway.nodes
      .change(nodeId, (latest) => (latest.activity === 'active' ? expireNode(latest, lastSeenAt) : latest))
      .catch((error: unknown) => gateway.log.warn({ node: nodeId, err: error }, 'expiry of a node not written down'));
  }
};

/**
 * After a start: whoever was at work when this gateway, or another, last wrote it down is believed to be there until
 * its heartbeat is due, so that a restart drops nobody from a round.
 */
export const adoptNodes = async (gateway: Gateway): Promise<void> => {
  for (const node of await gateway.nodes.list()) {
    if (node.activity !== 'active') continue;
    gateway.roster.see(node.nodeId, node.heartbeatSeconds, gateway.clock.monotonic(), presentAs(gateway, node));
    gateway.mailbox.assumeTaken(node.nodeId);
  }
  gateway.presence.snapshot(gateway.roster.snapshot());
};
