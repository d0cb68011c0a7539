import { AegisError } from '@aegis/errors';
import { activateNode, isAtWork, type NodeRecord } from '../domain/node.ts';
import type { Gateway } from './gateway.ts';
import { lookAlive, nodeAtWork } from './heartbeat.ts';

/**
 * A REST node asks for work: with the first such call it comes to work. Not before, for to register costs nothing, and rounds would wait
 * for nodes that nobody runs.
 */
export const startRestNode = async (gateway: Gateway, node: NodeRecord): Promise<NodeRecord> => {
  const atWork = await nodeAtWork(gateway, node);
  if (atWork) return atWork;
  const now = gateway.clock.now();
  const active = await gateway.nodes.change(node.nodeId, (latest) => {
    if (isAtWork(latest)) return latest;
    const { heartbeatSeconds, certificateUntil } = latest;
    return activateNode(latest, { heartbeatSeconds, certificateUntil, flwrVersion: '', dialect: 'rest' }, now);
  });
  if (active === null) throw new AegisError('REST_SIGNATURE');
  lookAlive(gateway, active);
  gateway.log.info({ node: active.nodeId, dialect: active.dialect }, 'node active');
  return active;
};

/** Throws REST_NOT_AT_WORK for a node that never asked for work: there is nothing else it could want. */
export const checkStarted = async (gateway: Gateway, node: NodeRecord): Promise<void> => {
  if (!(await nodeAtWork(gateway, node))) throw new AegisError('REST_NOT_AT_WORK');
};
