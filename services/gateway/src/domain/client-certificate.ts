import { AegisError, type ErrorCode } from '@aegis/errors';
import type { NodeRecord } from './node.ts';

/** off: nobody is asked for a certificate. accept: who shows one must show a good one. require: nodes without one are refused. */
export type CertificateRule = 'off' | 'accept' | 'require';

/** Whom a client certificate names, once TLS found it good. */
export interface Principal {
  /** `O=…, CN=…`: one node per subject. */
  readonly subject: string;
  /** For people. */
  readonly name: string;
  /** Whose node it is; empty: the certificate does not say. */
  readonly user: string;
  /** When it ends, Unix milliseconds. */
  readonly until: number;
}

/** What a certificate is for when it says so itself (`spiffe://FEDERATION/KIND/NAME`); null: it comes from an authority that does not. */
export interface StatedPurpose {
  readonly kind: 'node' | 'guard' | 'service' | 'signing';
  readonly name: string;
}

export interface ShownCertificate {
  readonly subject: string;
  readonly stated: StatedPurpose | null;
  readonly user: string;
  readonly until: number;
}

const codeOf: Readonly<Record<string, ErrorCode>> = {
  CERT_HAS_EXPIRED: 'CERTIFICATE_EXPIRED',
  CERT_NOT_YET_VALID: 'CERTIFICATE_NOT_YET_VALID',
  CERT_REVOKED: 'CERTIFICATE_REVOKED',
  CRL_HAS_EXPIRED: 'CERTIFICATE_LIST_EXPIRED',
  UNABLE_TO_GET_CRL: 'CERTIFICATE_LIST_MISSING',
};

/** The verdict of TLS in our words. `finding` is OpenSSL's name for what is wrong. */
export const certificateError = (finding: string): AegisError =>
  new AegisError(codeOf[finding] ?? 'CERTIFICATE_UNTRUSTED', `TLS says ${finding}.`);

/** Of a certificate that TLS found good. Throws CERTIFICATE_KIND for one that is no node's. */
export const principalOf = ({ subject, stated, user, until }: ShownCertificate): Principal => {
  if (subject === '') throw new AegisError('CERTIFICATE_KIND', 'It names no subject.');
  if (stated === null) return { subject, name: '', user, until };
  const { kind, name } = stated;
  if (kind === 'node' || kind === 'guard') return { subject, name, user, until };
  throw new AegisError('CERTIFICATE_KIND', `It is of the kind "${kind}".`);
};

/**
 * A node that came with a certificate once comes with one of the same subject always; a node that came without cannot be
 * taken over by a certificate either.
 */
export const checkBinding = (record: Pick<NodeRecord, 'nodeId' | 'subject'>, principal: Principal | null): void => {
  if (record.subject === (principal?.subject ?? '')) return;
  if (principal === null)
    throw new AegisError('CERTIFICATE_REQUIRED', `Node ${record.nodeId} belongs to a certificate.`);
  throw new AegisError('CERTIFICATE_BOUND', 'The key belongs to another node than the certificate.');
};
