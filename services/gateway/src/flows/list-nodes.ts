import { guestNode, type NodeRecord, type NodeState, nodeState, onlineUntil } from '../domain/node.ts';
import type { Gateway } from './gateway.ts';

export interface NodeView {
  readonly record: NodeRecord;
  readonly state: NodeState;
  /** Unix ms; 0 when it is not online. */
  readonly onlineUntil: number;
  readonly lastSeenAt: number;
}

/** All registered nodes, and the guests of this gateway. */
export const listNodes = async (gateway: Gateway): Promise<NodeView[]> => {
  const now = gateway.clock.now();
  const steady = gateway.clock.monotonic();
  const guests = gateway.roster
    .snapshot()
    .filter(({ kind }) => kind === 'join')
    .map(({ nodeId }) => guestNode(nodeId, gateway.roster.heartbeatSeconds(nodeId) ?? 0, now));
  const records = [...(await gateway.nodes.list()), ...guests];
  return records
    .sort((a, b) => a.registeredAt - b.registeredAt)
    .map((record) => {
      const seenHere = gateway.roster.lastSeen(record.nodeId);
      const online = seenHere !== undefined || gateway.elsewhere.isOnline(record.nodeId, steady);
      const lastSeenAt = seenHere !== undefined ? now - (steady - seenHere) : online ? now : record.lastSeenAt;
      const atTask = gateway.mailbox.isAtTask(record.nodeId);
      return {
        record,
        state: nodeState(record, online),
        onlineUntil: online ? onlineUntil(lastSeenAt, record.heartbeatSeconds, atTask) : 0,
        lastSeenAt,
      };
    });
};
