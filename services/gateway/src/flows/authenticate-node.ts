import { createHash } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { actingNode, checkTimestamp } from '../domain/credential.ts';
import type { NodeRecord, WireDialect } from '../domain/node.ts';
import { parsePublicKey, toPem } from '../domain/public-key.ts';
import type { Gateway } from './gateway.ts';

/** What a node presents with every call. */
export interface Credential {
  readonly publicKeyPem: Buffer;
  /** As sent: the signature covers exactly these bytes. */
  readonly timestamp: string;
  readonly signature: Buffer;
  readonly dialect: WireDialect;
  readonly flwrVersion: string;
}

export interface ProvenKey {
  readonly pem: string;
  readonly fingerprint: string;
  /** The node the key belongs to, removed ones included; null when it belongs to nobody. */
  readonly owner: NodeRecord | null;
}

type Parts = Pick<Gateway, 'clock' | 'nodes' | 'signatures'>;

/** Registration and activation: the caller holds the private key; whether anybody knows the key is another question. */
export const proveKey = async (gateway: Parts, credential: Credential): Promise<ProvenKey> => {
  checkTimestamp(credential.timestamp, gateway.clock.now());
  const key = identifyKey(credential.publicKeyPem);
  await verify(gateway, credential);
  return { ...key, owner: await gateway.nodes.byKey(key.fingerprint) };
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
  checkTimestamp(credential.timestamp, gateway.clock.now());
  const { fingerprint } = identifyKey(credential.publicKeyPem);
  await verify(gateway, credential);
  return actingNode(await gateway.nodes.byKey(fingerprint), claimedId);
};

export const fingerprintOf = (spki: Buffer): string => createHash('sha256').update(spki).digest('hex');

const identifyKey = (publicKeyPem: Buffer): { pem: string; fingerprint: string } => {
  try {
    const spki = parsePublicKey(publicKeyPem.toString('latin1'));
    return { pem: toPem(spki), fingerprint: fingerprintOf(spki) };
  } catch (cause) {
    throw new AegisError('NODE_UNAUTHENTICATED', 'Its public key cannot be used.', cause);
  }
};

const verify = async (gateway: Parts, { publicKeyPem, timestamp, signature }: Credential): Promise<void> => {
  const isGenuine = await gateway
    .signatures(publicKeyPem, Buffer.from(timestamp, 'latin1'), signature)
    .catch((cause) => {
      throw new AegisError('NODE_UNAUTHENTICATED', 'Its public key cannot be used.', cause);
    });
  if (!isGenuine) throw new AegisError('NODE_SIGNATURE');
};
