import { isUnclaimed, removeNode } from '../domain/node.ts';
import type { Gateway } from './gateway.ts';

/** REST nodes that registered themselves and never asked for work are forgotten: otherwise whoever likes fills the registry for good. */
export const forgetUnclaimed = async (gateway: Gateway): Promise<void> => {
  const { nodes, clock, log } = gateway;
  const now = clock.now();
  let forgotten = 0;
  for (const { nodeId } of (await nodes.list()).filter((record) => isUnclaimed(record, now))) {
    // First by compare-and-set: one that begins to work at this very moment stays.
    const latest = await nodes.change(nodeId, (record) =>
      isUnclaimed(record, now) ? removeNode(record, now) : record,
    );
    if (latest?.activity !== 'removed') continue;
    await nodes.delete(nodeId);
    forgotten += 1;
  }
  if (forgotten > 0) log.info({ nodes: forgotten }, 'nodes forgotten that registered and never asked for work');
};
