import { AegisError } from '@aegis/errors';
import { checkBinding } from '../domain/client-certificate.ts';
import { type NodeRecord, refuseRemoved } from '../domain/node.ts';
import type { Gateway } from './gateway.ts';
import { lookAlive } from './heartbeat.ts';
import { type RequestToSign, type RestKeys, restFingerprint } from './rest-keys.ts';

export interface SignedRequest extends RequestToSign {
  readonly nodeId: bigint;
  readonly signature: string;
  readonly connection: object;
}

/** What a caller says of itself, by the head of its request. */
export const restClaim = (nodeId: bigint): string => `rest ${nodeId}`;

const NO_SALT = '00'.repeat(32);

/** METHOD_NOT_OFFERED where the operator did not say `rest: true`. */
export const restKeysOf = ({ restKeys }: Pick<Gateway, 'restKeys'>): RestKeys => {
  if (restKeys) return restKeys;
  throw new AegisError('METHOD_NOT_OFFERED', 'REST is off: the operator sets `rest: true`.');
};

/**
 * The node that signed the request, over this nonce for the first time. Whoever is not proven to hold the secret learns nothing: not
 * whether there is such a node, nor what became of it.
 */
export const authenticateRequest = async (gateway: Gateway, request: SignedRequest): Promise<NodeRecord> => {
  try {
    return await signerOf(gateway, request);
  } catch (caught) {
    // Also for a nonce of long ago, or one that was used: with such whoever knows a node's id could spend what the node has.
    if (AegisError.from(caught).entry.kind === 'unauthenticated')
      gateway.admission.doubted(request.connection, restClaim(request.nodeId));
    throw caught;
  }
};

const signerOf = async (gateway: Gateway, request: SignedRequest): Promise<NodeRecord> => {
  const keys = restKeysOf(gateway);
  const principal = gateway.certificates.holderOf(request.connection);
  const issuedAt = keys.checkNonce(request.nonce, gateway.clock.now());
  const fingerprint = restFingerprint(request.nodeId);
  const atHand = await gateway.nodes.byKey(fingerprint, false);
  const node =
    atHand ?? (gateway.unknownNodes.mayAsk(gateway.clock.monotonic()) ? await gateway.nodes.byKey(fingerprint) : null);
  const secret = keys.secretOf(request.nodeId, node?.restSalt ?? NO_SALT);
  const isGenuine = keys.isSigned(secret, request, request.signature);
  if (!isGenuine || node?.restSalt === undefined) throw new AegisError('REST_SIGNATURE');
  refuseRemoved(node);
  checkBinding(node, principal);
  gateway.usedNonces.note(node.nodeId, request.nonce, issuedAt, gateway.clock.monotonic());
  gateway.admission.proved(request.connection, restClaim(request.nodeId), `node ${node.nodeId}`);
  lookAlive(gateway, node);
  return node;
};
