import { createHash } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import type { Principal } from '../domain/client-certificate.ts';
import { checkHeartbeatSeconds, type NodeRecord, refuseRemoved, registerNode } from '../domain/node.ts';
import { restKeysOf } from './authenticate-request.ts';
import type { Gateway } from './gateway.ts';
import { type Invited, takeInvitation } from './invitations.ts';
import { restFingerprint } from './rest-keys.ts';

const SALT_BYTES = 32;

export interface RestClient {
  /** For people. */
  readonly name: string;
  readonly heartbeatSeconds: number;
  readonly invitation?: string | undefined;
  /** What the client would show again, had it not heard our answer. */
  readonly claim?: string | undefined;
}

/**
 * A node that signs with a shared secret, and works once it asks for work (start-rest-node.ts). The secret is told, and kept nowhere: what
 * is written down is the salt that it is derived with. Who vouches for it is an open door, its certificate, or an invitation.
 */
export const enrolRestNode = async (
  gateway: Gateway,
  connection: object,
  { name, heartbeatSeconds, invitation, claim }: RestClient,
): Promise<{ node: NodeRecord; secret: string }> => {
  const keys = restKeysOf(gateway);
  const principal = gateway.certificates.holderOf(connection);
  if (principal === null && invitation === undefined && gateway.settings.enrolment !== 'open') {
    throw new AegisError('ENROLMENT_CLOSED');
  }
  checkHeartbeatSeconds(heartbeatSeconds);
  const invited: Invited | null =
    principal === null && invitation !== undefined
      ? await takeInvitation(gateway, invitation, holderOf(gateway, claim))
      : null;
  const nodeId = principal ? await certifiedNode(gateway, principal) : (invited?.nodeId ?? gateway.random.uint64());
  const restSalt = gateway.random.bytes(SALT_BYTES).toString('hex');
  const record: NodeRecord = {
    ...registerNode(
      {
        ...{ nodeId, publicKey: '', fingerprint: restFingerprint(nodeId) },
        name: principal?.name || invited?.name || name,
        ...{ subject: principal?.subject ?? '', selfRegistered: principal === null && invited === null },
      },
      gateway.clock.now(),
    ),
    ...{ heartbeatSeconds, dialect: 'rest', restSalt, certificateUntil: principal?.until ?? 0 },
  };
  const owner = await gateway.nodes.register(record);
  refuseRemoved(owner);
  // Whoever repeats a claim is told the secret of the first time; whoever shows a certificate gets a new one, and the old one is void.
  const node = principal ? await resalted(gateway, owner, record) : owner;
  gateway.log.info({ node: node.nodeId, dialect: node.dialect }, 'node registered');
  const by = principal
    ? `certificate of ${principal.subject}`
    : invited
      ? 'an invitation'
      : 'nobody: it came by itself';
  await gateway.audit.note({
    ...{ event: 'node-enrolled', actor: `node ${node.nodeId}`, subject: `node ${node.nodeId}` },
    detail: `a REST client, let in by ${by}`,
  });
  return { node, secret: keys.secretOf(node.nodeId, node.restSalt ?? restSalt) };
};

/**
 * The one node of a certificate: its id follows from the subject, so that a crash between the claim and the record leaves nothing that
 * the same client could not complete by asking again.
 */
const certifiedNode = async ({ nodes }: Gateway, { subject }: Principal): Promise<bigint> => {
  const nodeId = createHash('sha256').update('aegis rest subject\n').update(subject).digest().readBigUInt64BE() || 1n;
  const owner = await nodes.claimSubject(subject, restFingerprint(nodeId));
  if (owner === restFingerprint(nodeId)) return nodeId;
  // Ids did not always follow from subjects.
  const earlier = await nodes.byKey(owner);
  if (earlier?.restSalt !== undefined && earlier.subject === subject) return earlier.nodeId;
  throw new AegisError('CERTIFICATE_BOUND', `${subject} came with a key before.`);
};

const resalted = async ({ nodes }: Gateway, owner: NodeRecord, record: NodeRecord): Promise<NodeRecord> => {
  if (owner.restSalt === record.restSalt) return owner;
  const { restSalt, heartbeatSeconds, certificateUntil } = record;
  const changed = await nodes.change(owner.nodeId, (latest) => {
    refuseRemoved(latest);
    return { ...latest, restSalt: restSalt ?? '', heartbeatSeconds, certificateUntil };
  });
  if (changed) return changed;
  throw new AegisError('STORE_UNAVAILABLE', 'The node was deleted meanwhile.');
};

/** Without a claim nobody can show it again. */
const holderOf = ({ random }: Gateway, claim: string | undefined): string =>
  createHash('sha256')
    .update('aegis rest claim\n')
    .update(claim ?? random.bytes(SALT_BYTES))
    .digest('hex');
