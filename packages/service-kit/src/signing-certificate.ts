import { X509Certificate } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { federationIdentity, subjectOf } from './federation-ca.ts';
import type { Revocations } from './revocations.ts';

/** A key whose signatures others check, and whose it is. */
export interface CertifiedKey {
  /** `O=…, CN=…` */
  readonly subject: string;
  readonly name: string;
  /** SubjectPublicKeyInfo, PEM. */
  readonly keyPem: string;
  /** Milliseconds since 1970. */
  readonly notAfter: number;
}

/** No certificate of ours is near as long. */
const MOST_CHARACTERS = 8_192;

/**
 * The key in a certificate of the kind `signing` that one of the roots issued and none took back. SECAGG_CERTIFICATE for any other. Roots and
 * list are the caller's own: nothing a server says makes a certificate good. `revoked` null: the caller has no list.
 */
export const openSigningCertificate = (
  pem: string,
  roots: readonly X509Certificate[],
  now: number,
  revoked: Revocations | null = null,
): CertifiedKey => {
  const certificate = parse(pem);
  const root = roots.find((candidate) => certificate.checkIssued(candidate) && certificate.verify(candidate.publicKey));
  if (root === undefined)
    throw refuse('None of the federation roots given here (root.pem of aegis ca init) issued it.');
  for (const { validFromDate, validToDate } of [certificate, root]) {
    if (now < validFromDate.getTime() || now > validToDate.getTime())
      throw refuse(`It is good from ${validFromDate.toISOString()} to ${validToDate.toISOString()} only.`);
  }
  if (revoked !== null && now > revoked.endsAt)
    throw refuse(
      `The list of revoked ones is over since ${new Date(revoked.endsAt).toISOString()}: get a new crl.pem.`,
    );
  if (revoked?.has(new Uint8Array(certificate.raw))) throw refuse('It was revoked.');
  const identity = federationIdentity(certificate.subjectAltName);
  if (identity?.kind !== 'signing' || certificate.ca) throw refuse('It is not of the kind "signing".');
  return {
    subject: subjectOf(certificate),
    name: identity.name,
    keyPem: certificate.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    notAfter: certificate.validToDate.getTime(),
  };
};

/** Every certificate of a PEM file. */
export const readRoots = (pem: string): X509Certificate[] =>
  (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
    (one) => new X509Certificate(one),
  );

const parse = (pem: string): X509Certificate => {
  if (pem.length > MOST_CHARACTERS) throw refuse('It is too long to be one.');
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new AegisError('SECAGG_CERTIFICATE', 'It is no certificate.', cause);
  }
};

const refuse = (why: string): AegisError => new AegisError('SECAGG_CERTIFICATE', why);
