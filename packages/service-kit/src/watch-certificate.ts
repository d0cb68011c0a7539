import { X509Certificate } from 'node:crypto';
import type { Meter } from '@opentelemetry/api';

/** What a certificate is shown for: to nodes, to the other services that call, to those that are called, under what an issuer issues. */
export type CertificateUse = 'edge' | 'server' | 'client' | 'issuer';

/**
 * Shows when a certificate ends. `pem` is asked at every reading, so that one that was replaced counts at once; what is no certificate shows
 * NaN. Of several with one use in a process the first to end is not told from the others: the one asked last shows.
 */
export const watchCertificate = (meter: Meter, certificate: CertificateUse, pem: () => string | Buffer): void => {
  let read: { pem: string | Buffer; ends: number } | null = null;
  meter
    .createObservableGauge('aegis_certificate_expiry_timestamp_seconds', {
      description: 'When a certificate of this process ends, Unix seconds, by what it is shown for.',
    })
    .addCallback((result) => {
      const now = pem();
      if (read?.pem !== now) read = { pem: now, ends: endOf(now) };
      // a series that is left out keeps its last value for ever
      result.observe(read.ends, { certificate });
    });
};

const endOf = (pem: string | Buffer): number => {
  try {
    return new X509Certificate(pem).validToDate.getTime() / 1000;
  } catch {
    return Number.NaN;
  }
};
