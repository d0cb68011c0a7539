import { createdNode } from '../domain/enrolment.ts';
import type { NodeRecord } from '../domain/node.ts';
import { activate } from './activate-node.ts';
import { proveSigned, type SignedMessage } from './authenticate-node.ts';
import type { Gateway } from './gateway.ts';
import { enrol } from './register-node.ts';

/**
 * A native client says who it is, once per stream, by signing what this stream alone was asked to sign. An unknown key
 * enrols itself where the door is open; a known one comes to work.
 */
export const greetNode = async (
  gateway: Gateway,
  signed: SignedMessage,
  client: string,
  heartbeatSeconds: number,
): Promise<NodeRecord> => {
  const key = await proveSigned(gateway, signed);
  const known = createdNode(gateway.settings.enrolment, key.owner);
  const record = known === 'create' ? await enrol(gateway, key) : known;
  return activate(gateway, record, { flwrVersion: client, dialect: 'native' }, heartbeatSeconds);
};
