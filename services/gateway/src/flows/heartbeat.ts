import { checkHeartbeatSeconds, isAtWork, type NodeRecord, reviveNode } from '../domain/node.ts';
import { type PresenceChange, present } from '../domain/presence.ts';
import type { Gateway } from './gateway.ts';

/** False tells the node that it is not at work here: its heartbeats end for good. */
export const heartbeat = async (gateway: Gateway, node: NodeRecord, seconds: number): Promise<boolean> => {
  checkHeartbeatSeconds(seconds);
  const atWork = await nodeAtWork(gateway, node);
  if (!atWork) return false;
  lookAlive(gateway, atWork, seconds);
  return true;
};

/** It may have been activated at another gateway a moment ago: a "no" is worth a second look. */
export const nodeAtWork = async (gateway: Gateway, node: NodeRecord): Promise<NodeRecord | null> => {
  if (isAtWork(node)) return node;
  const latest = await gateway.nodes.latest(node.nodeId);
  return latest && isAtWork(latest) ? latest : null;
};

/** The news that the node is there, with the pseudonyms of itself and of its user where it has them. */
export const presentAs = ({ unitNames }: Gateway, node: NodeRecord): PresenceChange => {
  const unit = unitNames?.of(node);
  const user = unitNames?.ofUser(node);
  return { ...present(node), ...(unit && { unit }), ...(user && { user }) };
};

/**
 * A sign of life. Memory only, but for the first one after the node was given up: that is written down, so that a
 * gateway that restarts counts it among the living.
 */
export const lookAlive = (gateway: Gateway, node: NodeRecord, heartbeatSeconds = node.heartbeatSeconds): void => {
  if (!isAtWork(node)) return;
  const now = gateway.clock.now();
  const news = presentAs(gateway, node);
  const isNews = gateway.roster.see(node.nodeId, heartbeatSeconds, gateway.clock.monotonic(), news);
  if (isNews) gateway.presence.changed([news]);
  if (node.activity !== 'expired') return;
  gateway.nodes
    .change(node.nodeId, (latest) => (latest.activity === 'expired' ? reviveNode(latest, now) : latest))
    .catch((error: unknown) =>
      gateway.log.warn({ node: node.nodeId, err: error }, 'return of a node not written down'),
    );
};

/** It has nothing in hand. The round that gave it up last hears so: nobody selects it again before this. */
export const lookFree = (gateway: Gateway, node: NodeRecord): void => {
  if (gateway.mailbox.wasGivenUp(node.nodeId)) gateway.presence.changed([presentAs(gateway, node)]);
};

/** Its last connection closed: it has one interval to be heard again. */
export const lookCutOff = (gateway: Gateway, nodeId: bigint): void =>
  gateway.roster.cutOff(nodeId, gateway.clock.monotonic());

/** The node is not here any more: nothing waits for it, everybody hears of it. */
export const lookGone = (gateway: Gateway, nodeId: bigint): void => {
  if (forget(gateway, nodeId)) gateway.presence.changed([{ nodeId, online: false }]);
};

/** It said goodbye, or was removed: it is nowhere else either. A gateway that is gone since may have said otherwise. */
export const lookLeft = (gateway: Gateway, nodeId: bigint): void => {
  forget(gateway, nodeId);
  gateway.presence.changed([{ nodeId, online: false, left: true }]);
};

/** True when it was here. */
const forget = (gateway: Gateway, nodeId: bigint): boolean => {
  gateway.held.end(nodeId);
  gateway.openUploads.dropNode(nodeId);
  return gateway.roster.drop(nodeId);
};
