import { AegisError } from '@aegis/errors';
import { removeNode as removed } from '../domain/node.ts';
import { failOpenTasks } from './fail-task.ts';
import type { Gateway } from './gateway.ts';
import { lookLeft } from './heartbeat.ts';

/**
 * Expels: its key is refused from now on at every gateway, its rounds stop waiting for it, and what the issuer certified for it is revoked.
 * While the issuer is away the node is removed all the same, and the call fails: repeat it.
 */
export const removeNode = async (gateway: Gateway, nodeId: bigint): Promise<void> => {
  const now = gateway.clock.now();
  const record = await gateway.nodes.change(nodeId, (latest) =>
    latest.activity === 'removed' ? latest : removed(latest, now),
  );
  if (!record) throw new AegisError('NODE_NOT_FOUND', `Node ${nodeId}.`);
  lookLeft(gateway, nodeId);
  await failOpenTasks(gateway, nodeId, 'The node was removed.');
  gateway.log.info({ node: nodeId }, 'node removed');
  if (record.subject !== '') await gateway.issuer?.revoke(commonName(record.subject));
};

/** Of `O=FEDERATION, CN=NAME`, as certificates of a federation have it. Any other is none of the issuer's. */
const commonName = (subject: string): string => /, CN=([a-z0-9.-]{1,63})$/.exec(subject)?.[1] ?? '';
