import type { PeerCertificate } from 'node:tls';
import { federationIdentity } from './federation-ca.ts';

/** The names a certificate carries: its common name first, then its DNS names. A node of a federation is no caller, whatever it is called. */
export const callerNames = (certificate: PeerCertificate | undefined): string[] => {
  if (certificate === undefined) return [];
  const identity = federationIdentity(certificate.subjectaltname);
  if (identity !== null && identity.kind !== 'service') return [];
  const common = certificate.subject?.CN ?? [];
  const dns = (certificate.subjectaltname ?? '')
    .split(', ')
    .filter((name) => name.startsWith('DNS:'))
    .map((name) => name.slice('DNS:'.length));
  return [...new Set([common, dns].flat())];
};
