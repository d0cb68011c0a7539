import { sameKey } from '../domain/credential.ts';
import { selfRegistration } from '../domain/enrolment.ts';
import { type NodeRecord, registerNode as newNode, refuseRemoved } from '../domain/node.ts';
import { type Credential, type ProvenKey, proveKey } from './authenticate-node.ts';
import type { Gateway } from './gateway.ts';

/** A node enrols itself with a key of its own making. Repeating it gives the same node. */
export const registerNode = async (
  gateway: Gateway,
  credential: Credential,
  publicKey: Buffer,
): Promise<NodeRecord> => {
  sameKey(publicKey, credential.publicKeyPem);
  const key = await proveKey(gateway, credential);
  const known = selfRegistration(gateway.settings.enrolment, key.owner);
  return known === 'create' ? enrol(gateway, key) : known;
};

export const enrol = async (gateway: Gateway, key: ProvenKey): Promise<NodeRecord> => {
  const nodeId = gateway.random.uint64();
  const record = newNode(
    { nodeId, publicKey: key.pem, fingerprint: key.fingerprint, name: '', selfRegistered: true },
    gateway.clock.now(),
  );
  const owner = await gateway.nodes.register(record);
  refuseRemoved(owner);
  return owner;
};
