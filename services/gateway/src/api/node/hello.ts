import type { Hello } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import type { NodeRecord } from '../../domain/node.ts';
import type { Gateway } from '../../flows/gateway.ts';
import { greetNode } from '../../flows/greet-node.ts';
import { nodeLimits } from './limits.ts';

const PROTOCOL = 1;
/** What is signed begins with this, so that a signature made here means nothing anywhere else. */
const PURPOSE = Buffer.from('aegis.node.v1 hello\n');

/** The node that says Hello, proven by its signature over the nonce of this one stream. */
export const takeHello = async (
  gateway: Gateway,
  hello: Hello,
  nonce: Buffer,
  connection: object | undefined,
): Promise<NodeRecord> => {
  const { protocol, client, publicKey, signature, runsApps, canMask, invitation } = hello;
  if (protocol !== PROTOCOL) throw new AegisError('NODE_PROTOCOL', `Got ${protocol}, this server speaks ${PROTOCOL}.`);
  if (publicKey.byteLength > nodeLimits.publicKey || signature.byteLength > nodeLimits.signature) {
    throw new AegisError('NODE_HELLO', 'Its key or signature is too long to be one.');
  }
  const message = Buffer.concat([PURPOSE, nonce]);
  return greetNode(
    gateway,
    { publicKeyPem: publicKey, message, signature, connection },
    { name: nameOf(client), runsApps, canMask, invitation },
    nodeLimits.heartbeatSeconds,
  );
};

/** For people: one short line of plain text. */
const nameOf = (client: string): string => client.replaceAll(/[^\x20-\x7e]/g, '').slice(0, nodeLimits.clientName);
