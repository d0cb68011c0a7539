import { AegisError } from '@aegis/errors';
import { approval } from '../domain/enrolment.ts';
import { type NodeRecord, registerNode as newNode } from '../domain/node.ts';
import { parsePublicKey, toPem } from '../domain/public-key.ts';
import type { Gateway } from './gateway.ts';
import { fingerprintOf } from './proven-keys.ts';

/** A person vouches for a key (PEM or one OpenSSH line). */
export const approveNode = async (gateway: Gateway, publicKey: string, name: string): Promise<NodeRecord> => {
  const spki = parsePublicKey(publicKey);
  const fingerprint = fingerprintOf(spki);
  approval(await gateway.nodes.byKey(fingerprint));
  const nodeId = gateway.random.uint64();
  const record = newNode(
    { nodeId, publicKey: toPem(spki), fingerprint, name, selfRegistered: false },
    gateway.clock.now(),
  );
  const owner = await gateway.nodes.reregister(record);
  if (owner.nodeId !== nodeId) throw new AegisError('NODE_KEY_IN_USE', `It belongs to node ${owner.nodeId}.`);
  gateway.log.info({ node: nodeId, name }, 'node approved');
  return owner;
};
