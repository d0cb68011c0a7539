import type { PeerCertificate } from 'node:tls';

/** The names a certificate carries: its common name first, then its DNS names. */
export const callerNames = (certificate: PeerCertificate | undefined): string[] => {
  if (certificate === undefined) return [];
  const common = certificate.subject?.CN ?? [];
  const dns = (certificate.subjectaltname ?? '')
    .split(', ')
    .filter((name) => name.startsWith('DNS:'))
    .map((name) => name.slice('DNS:'.length));
  return [...new Set([common, dns].flat())];
};
