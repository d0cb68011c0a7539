import { AegisError } from '@aegis/errors';
import { activateNode, checkHeartbeatSeconds, type NodeRecord, registerNode } from '../domain/node.ts';
import { restKeysOf } from './authenticate-request.ts';
import type { Gateway } from './gateway.ts';
import { lookAlive } from './heartbeat.ts';
import { restFingerprint } from './rest-keys.ts';

const SALT_BYTES = 32;

export interface RestClient {
  /** For people. */
  readonly name: string;
  readonly heartbeatSeconds: number;
}

/**
 * A new node that signs with a shared secret, at work from now on. The secret is told this once: what is written down is the salt
 * that it is derived with.
 */
export const enrolRestNode = async (
  gateway: Gateway,
  connection: object,
  { name, heartbeatSeconds }: RestClient,
): Promise<{ node: NodeRecord; secret: string }> => {
  const keys = restKeysOf(gateway);
  const principal = gateway.certificates.holderOf(connection);
  if (principal === null && gateway.settings.enrolment !== 'open') throw new AegisError('ENROLMENT_CLOSED');
  checkHeartbeatSeconds(heartbeatSeconds);
  const nodeId = gateway.random.uint64();
  const fingerprint = restFingerprint(nodeId);
  if (principal && (await gateway.nodes.claimSubject(principal.subject, fingerprint)) !== fingerprint) {
    throw new AegisError('CERTIFICATE_BOUND', `${principal.subject} came with another key before.`);
  }
  const restSalt = gateway.random.bytes(SALT_BYTES).toString('hex');
  const now = gateway.clock.now();
  const who = { nodeId, publicKey: '', fingerprint, name: principal?.name || name, selfRegistered: principal === null };
  const record = { ...registerNode({ ...who, subject: principal?.subject ?? '' }, now), restSalt };
  const node = activateNode(record, { heartbeatSeconds, flwrVersion: '', dialect: 'rest' }, now);
  await gateway.nodes.register(node);
  lookAlive(gateway, node);
  gateway.log.info({ node: nodeId, dialect: node.dialect }, 'node active');
  return { node, secret: keys.secretOf(nodeId, restSalt) };
};
