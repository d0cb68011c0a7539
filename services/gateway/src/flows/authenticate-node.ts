import { AegisError } from '@aegis/errors';
import { checkBinding, type Principal } from '../domain/client-certificate.ts';
import { actingNode, checkTimestamp } from '../domain/credential.ts';
import type { NodeRecord, WireDialect } from '../domain/node.ts';
import type { Gateway } from './gateway.ts';
import type { KeyIdentity, PresentedKey } from './proven-keys.ts';

/** What a node presents with every call. */
export interface Credential extends PresentedKey {
  /** As sent: the signature covers exactly these bytes. */
  readonly timestamp: string;
  readonly signature: Buffer;
  readonly dialect: WireDialect;
  readonly flwrVersion: string;
}

export interface ProvenKey extends KeyIdentity {
  /** The node the key belongs to, removed ones included; null when it belongs to nobody. */
  readonly owner: NodeRecord | null;
  /** Whom the certificate of the caller's connection names. An owner is that certificate's node. */
  readonly principal: Principal | null;
}

type Parts = Pick<
  Gateway,
  'clock' | 'nodes' | 'signatures' | 'provenKeys' | 'seenCalls' | 'certificates' | 'admission'
>;

/** What a caller with this key says of itself, by the head of its call. */
export const claimOf = (publicKeyPem: Buffer): string => publicKeyPem.toString('base64');

/** Registration and activation: the caller holds the private key; whether anybody knows the key is another question. */
export const proveKey = async (gateway: Parts, credential: Credential): Promise<ProvenKey> => {
  const principal = gateway.certificates.holderOf(credential.connection);
  return withOwner(gateway, await holderOf(gateway, credential), principal);
};

export interface SignedMessage {
  /** Of the stream it came over; undefined when it is gone already. */
  readonly connection: object | undefined;
  readonly publicKeyPem: Buffer;
  readonly message: Buffer;
  readonly signature: Buffer;
}

/** Whoever signed the message holds the key. That it was signed for this occasion is the caller's to know. */
export const proveSigned = async (gateway: Parts, signed: SignedMessage): Promise<ProvenKey> => {
  const principal = gateway.certificates.holderOf(signed.connection);
  const key = gateway.provenKeys.identify(signed.publicKeyPem);
  await verify(gateway, signed);
  return withOwner(gateway, key, principal);
};

const withOwner = async (gateway: Parts, key: KeyIdentity, principal: Principal | null): Promise<ProvenKey> => {
  const owner = await gateway.nodes.byKey(key.fingerprint);
  if (owner) checkBinding(owner, principal);
  return { ...key, owner, principal };
};

/**
 * Every other call: a known key, an honest signature, and nobody's node id but its own (`claimedId` null = the call
 * names none). Who is not proven to hold the key learns nothing about it: not whether it is known, nor which node's it is.
 */
export const authenticateNode = async (
  gateway: Parts,
  credential: Credential,
  claimedId: bigint | null,
): Promise<NodeRecord> => {
  const principal = gateway.certificates.holderOf(credential.connection);
  const { fingerprint } = await holderOf(gateway, credential);
  const node = actingNode(await gateway.nodes.byKey(fingerprint), claimedId);
  checkBinding(node, principal);
  gateway.admission.proved(credential.connection, claimOf(credential.publicKeyPem), `node ${node.nodeId}`);
  return node;
};

/**
 * The key that the caller holds: by its signature, or because its connection is bound to that key (proven-keys.ts). Either
 * way its clock is judged. A signature counts once; on a bound connection nobody else could repeat a call.
 */
const holderOf = async (gateway: Parts, credential: Credential): Promise<KeyIdentity> => {
  const { clock } = gateway;
  const { publicKeyPem, timestamp, signature } = credential;
  try {
    checkTimestamp(timestamp, clock.now());
    const bound = gateway.provenKeys.boundTo(credential);
    if (bound !== null) return bound;
    const key = gateway.provenKeys.identify(publicKeyPem);
    await verify(gateway, { publicKeyPem, message: Buffer.from(timestamp, 'latin1'), signature });
    gateway.seenCalls.note(key.fingerprint, timestamp, clock.now(), clock.monotonic());
    gateway.provenKeys.proved(credential, key);
    return key;
  } catch (caught) {
    gateway.admission.doubted(credential.connection, claimOf(publicKeyPem));
    throw caught;
  }
};

const verify = async (
  gateway: Parts,
  { publicKeyPem, message, signature }: Omit<SignedMessage, 'connection'>,
): Promise<void> => {
  const isGenuine = await gateway.signatures(publicKeyPem, message, signature).catch((cause) => {
    throw new AegisError('NODE_UNAUTHENTICATED', 'Its public key cannot be used.', cause);
  });
  if (!isGenuine) throw new AegisError('NODE_SIGNATURE');
};
