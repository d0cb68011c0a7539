import { AegisError } from '@aegis/errors';
import { guestNode, type NodeRecord } from '../domain/node.ts';
import type { Gateway } from './gateway.ts';
import { lookAlive } from './heartbeat.ts';

/**
 * A client without identity: it is a node for as long as its connection is open, and nothing of it is written down. Only
 * where anybody may enrol anyway.
 */
export const admitGuest = (gateway: Gateway, heartbeatSeconds: number): NodeRecord => {
  if (gateway.settings.enrolment !== 'open') {
    throw new AegisError('ENROLMENT_CLOSED', 'start_client shows no key that could be registered: use a SuperNode.');
  }
  // It holds no key that a certificate could belong to.
  gateway.certificates.holderOf(undefined);
  const guest = guestNode(gateway.random.uint64(), heartbeatSeconds, gateway.clock.now());
  lookAlive(gateway, guest);
  gateway.log.info({ node: guest.nodeId, dialect: guest.dialect }, 'node active');
  return guest;
};
