import { actingNode, sameKey } from '../domain/credential.ts';
import { createdNode } from '../domain/enrolment.ts';
import { activateNode as activated, checkHeartbeatSeconds, type NodeRecord } from '../domain/node.ts';
import { type Credential, claimOf, type ProvenKey, proveKey } from './authenticate-node.ts';
import type { Gateway } from './gateway.ts';
import { lookAlive } from './heartbeat.ts';
import { takeInvitation } from './invitations.ts';
import { doorFor, enrol } from './register-node.ts';

/** A registered node comes to work. */
export const activateNode = async (
  gateway: Gateway,
  credential: Credential,
  publicKey: Buffer,
  heartbeatSeconds: number,
): Promise<NodeRecord> => {
  sameKey(publicKey, credential.publicKeyPem);
  checkHeartbeatSeconds(heartbeatSeconds);
  const key = await proveKey(gateway, credential);
  const node = actingNode(key.owner, null);
  gateway.admission.proved(credential.connection, claimOf(publicKey), `node ${node.nodeId}`);
  return activate(gateway, key, node, credential, heartbeatSeconds);
};

/** Dialect C (flwr 1.20 to 1.22): registers the key if need be, and activates. */
export const createNode = async (
  gateway: Gateway,
  credential: Credential,
  heartbeatSeconds: number,
): Promise<NodeRecord> => {
  checkHeartbeatSeconds(heartbeatSeconds);
  return enrolAndActivate(gateway, await proveKey(gateway, credential), credential, heartbeatSeconds);
};

/** What a client says of itself. */
type Client = Pick<Credential, 'flwrVersion' | 'dialect'> & { readonly canMask?: boolean };

/**
 * The holder of a key comes to work: an unknown key enrols itself where the door is open, or with an invitation. A certificate needs
 * none, and a key that is known neither: the token stays as it is.
 */
export const enrolAndActivate = async (
  gateway: Gateway,
  key: ProvenKey,
  client: Client,
  heartbeatSeconds: number,
  invitation = '',
): Promise<NodeRecord> => {
  const isInvited = invitation !== '' && key.principal === null;
  const known = createdNode(isInvited ? 'open' : doorFor(gateway, key), key.owner);
  const record =
    known === 'create'
      ? await enrol(gateway, key, isInvited ? await takeInvitation(gateway, invitation, key.fingerprint) : null)
      : known;
  return activate(gateway, key, record, client, heartbeatSeconds);
};

const activate = async (
  gateway: Gateway,
  { principal }: ProvenKey,
  record: NodeRecord,
  { flwrVersion, dialect, canMask = false }: Client,
  heartbeatSeconds: number,
): Promise<NodeRecord> => {
  const now = gateway.clock.now();
  const { user = '', until: certificateUntil = 0 } = principal ?? {};
  const changed = await gateway.nodes.change(record.nodeId, (latest) =>
    activated(latest, { heartbeatSeconds, flwrVersion, dialect, canMask, user, certificateUntil }, now),
  );
  const active = actingNode(changed, record.nodeId);
  lookAlive(gateway, active, heartbeatSeconds);
  gateway.log.info({ node: active.nodeId, dialect, flwr: flwrVersion, canMask }, 'node active');
  return active;
};
