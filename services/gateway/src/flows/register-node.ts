import { AegisError } from '@aegis/errors';
import { sameKey } from '../domain/credential.ts';
import { type EnrolmentPolicy, selfRegistration } from '../domain/enrolment.ts';
import { type NodeRecord, registerNode as newNode, refuseRemoved } from '../domain/node.ts';
import { type Credential, type ProvenKey, proveKey } from './authenticate-node.ts';
import type { Gateway } from './gateway.ts';
import type { Invited } from './invitations.ts';

/** A node enrols itself with a key of its own making. Repeating it gives the same node. */
export const registerNode = async (
  gateway: Gateway,
  credential: Credential,
  publicKey: Buffer,
): Promise<NodeRecord> => {
  sameKey(publicKey, credential.publicKeyPem);
  const key = await proveKey(gateway, credential);
  const known = selfRegistration(doorFor(gateway, key), key.owner);
  return known === 'create' ? enrol(gateway, key) : known;
};

/** Who shows a certificate of the federation was let in by its authority: nobody else needs to. */
export const doorFor = (gateway: Gateway, { principal }: ProvenKey): EnrolmentPolicy =>
  principal === null ? gateway.settings.enrolment : 'open';

export const enrol = async (
  gateway: Gateway,
  { pem, fingerprint, principal }: ProvenKey,
  invited: Invited | null = null,
): Promise<NodeRecord> => {
  if (principal && (await gateway.nodes.claimSubject(principal.subject, fingerprint)) !== fingerprint) {
    throw new AegisError('CERTIFICATE_BOUND', `${principal.subject} came with another key before.`);
  }
  const record = newNode(
    {
      ...{ nodeId: invited?.nodeId ?? gateway.random.uint64(), publicKey: pem, fingerprint },
      ...{
        name: principal?.name ?? invited?.name ?? '',
        subject: principal?.subject ?? '',
        user: principal?.user ?? '',
      },
      selfRegistered: principal === null && invited === null,
    },
    gateway.clock.now(),
  );
  const owner = await gateway.nodes.register(record);
  refuseRemoved(owner);
  if (owner.nodeId === record.nodeId) {
    const by = principal === null ? '' : `certificate of ${principal.subject}, `;
    await gateway.audit.note({
      ...{ event: 'node-enrolled', actor: `node ${owner.nodeId}`, subject: `node ${owner.nodeId}` },
      detail: `${by}key ${fingerprint}`,
    });
  }
  return owner;
};
