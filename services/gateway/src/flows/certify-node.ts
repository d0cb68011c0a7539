import { X509Certificate } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { readSigningRequest, subjectOf } from '@aegis/service-kit';
import { checkBinding } from '../domain/client-certificate.ts';
import { refuseRemoved } from '../domain/node.ts';
import { toPem } from '../domain/public-key.ts';
import type { IssuerPeer } from '../peers/contract.ts';
import type { Gateway } from './gateway.ts';
import { takeInvitation } from './invitations.ts';
import { fingerprintOf } from './proven-keys.ts';
import { enrol } from './register-node.ts';

/**
 * An invitation and a certificate request become a node with a certificate. Each step may be repeated by the same key: the invitation is its
 * already, the issuer answers the same certificate, the node is the same. The name is the invitation's.
 */
export const certifyNode = async (gateway: Gateway, invitation: string, csr: Uint8Array): Promise<string> => {
  const issuer = issuerOf(gateway);
  // Before the invitation is used: a request that the issuer would refuse must not cost it.
  const spki = await readSigningRequest(csr);
  const fingerprint = fingerprintOf(spki);
  const owner = await gateway.nodes.byKey(fingerprint);
  if (owner) refuseRemoved(owner);
  const invited = await takeInvitation(gateway, invitation, fingerprint, { isNamed: true });
  const { name, id } = invited;
  const chain = await issuer.issue({ name, invitation: id, csr });
  const subject = subjectOf(new X509Certificate(chain));
  const principal = { subject, name, user: '', until: 0 };
  if (owner) checkBinding(owner, principal);
  else await enrol(gateway, { pem: toPem(spki), fingerprint, owner, principal }, invited);
  return chain;
};

/** The next certificate, for the key and over the certificate that it follows. Who was removed gets none. */
export const renewCertificate = async (
  gateway: Gateway,
  connection: object | undefined,
  csr: Uint8Array,
): Promise<string> => {
  const issuer = issuerOf(gateway);
  const principal = gateway.certificates.holderOf(connection);
  if (principal === null) throw new AegisError('CERTIFICATE_REQUIRED');
  const owner = await gateway.nodes.byKey(fingerprintOf(await readSigningRequest(csr)));
  if (owner === null) throw new AegisError('NODE_KEY_UNKNOWN');
  refuseRemoved(owner);
  checkBinding(owner, principal);
  const chain = await issuer.renew({ name: principal.name, csr });
  const certificate = new X509Certificate(chain);
  const node = `node ${owner.nodeId}`;
  await gateway.audit.note({
    ...{ event: 'certificate-renewed', actor: node, subject: node },
    detail: `${subjectOf(certificate)}, good until ${new Date(certificate.validTo).toISOString()}`,
  });
  return chain;
};

const issuerOf = ({ issuer }: Pick<Gateway, 'issuer'>): IssuerPeer => {
  if (issuer) return issuer;
  throw new AegisError('ISSUER_ABSENT');
};
