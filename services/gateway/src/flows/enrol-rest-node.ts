import { createHash } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { activateNode, checkHeartbeatSeconds, type NodeRecord, refuseRemoved, registerNode } from '../domain/node.ts';
import { restKeysOf } from './authenticate-request.ts';
import type { Gateway } from './gateway.ts';
import { lookAlive } from './heartbeat.ts';
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
 * A node that signs with a shared secret, at work from now on. The secret is told, and kept nowhere: what is written down is the salt
 * that it is derived with. Who vouches for it is an open door, its certificate, or an invitation.
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
  const nodeId = invited?.nodeId ?? gateway.random.uint64();
  const fingerprint = restFingerprint(nodeId);
  if (principal && (await gateway.nodes.claimSubject(principal.subject, fingerprint)) !== fingerprint) {
    throw new AegisError('CERTIFICATE_BOUND', `${principal.subject} came with another key before.`);
  }
  const restSalt = gateway.random.bytes(SALT_BYTES).toString('hex');
  const now = gateway.clock.now();
  const record = {
    ...registerNode(
      {
        ...{ nodeId, publicKey: '', fingerprint, name: principal?.name || invited?.name || name },
        ...{ subject: principal?.subject ?? '', selfRegistered: principal === null && invited === null },
      },
      now,
    ),
    restSalt,
  };
  // Who asks again is told the secret of the node that was made the first time.
  const node = await gateway.nodes.register(
    activateNode(record, { heartbeatSeconds, flwrVersion: '', dialect: 'rest' }, now),
  );
  refuseRemoved(node);
  lookAlive(gateway, node);
  gateway.log.info({ node: nodeId, dialect: node.dialect }, 'node active');
  return { node, secret: keys.secretOf(nodeId, node.restSalt ?? restSalt) };
};

/** Without a claim nobody can show it again. */
const holderOf = ({ random }: Gateway, claim: string | undefined): string =>
  createHash('sha256')
    .update('aegis rest claim\n')
    .update(claim ?? random.bytes(SALT_BYTES))
    .digest('hex');
