import type { NodeRecord } from '../domain/node.ts';
import { enrolAndActivate } from './activate-node.ts';
import { claimOf, proveSigned, type SignedMessage } from './authenticate-node.ts';
import type { Gateway } from './gateway.ts';

/**
 * A native client says who it is, once per stream, by signing what this stream alone was asked to sign. An unknown key
 * enrols itself where the door is open, or with an invitation; a known one comes to work.
 */
export const greetNode = async (
  gateway: Gateway,
  signed: SignedMessage,
  client: { readonly name: string; readonly runsApps: boolean; readonly canMask: boolean; readonly invitation: string },
  heartbeatSeconds: number,
): Promise<NodeRecord> => {
  const node = await enrolAndActivate(
    gateway,
    await proveSigned(gateway, signed),
    { flwrVersion: client.name, dialect: client.runsApps ? 'guard' : 'native', canMask: client.canMask },
    heartbeatSeconds,
    client.invitation,
  );
  gateway.admission.proved(signed.connection, claimOf(signed.publicKeyPem), `node ${node.nodeId}`);
  return node;
};
