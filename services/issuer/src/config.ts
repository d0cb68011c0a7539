import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { AegisError } from '@aegis/errors';
import { type IssuedCertificate, isOpenToOthers, listenShape, logConfig, metricsConfig } from '@aegis/service-kit';
import { z } from 'zod';

/** What an issuer is told, wherever it runs. */
export const issuerConfig = z.strictObject({
  /** `aegis ca issuer NAME` made it. */
  certificate: z.string().min(1),
  /** Its key, in a file only its owner may read. */
  key: z.string().min(1),
  /** Issuers it took the place of, as long as nodes have their certificates. */
  former: z.array(z.strictObject({ certificate: z.string().min(1), key: z.string().min(1) })).default([]),
  /** Where it remembers whom it certified. Lost, it could revoke nothing of what it issued. */
  'state-dir': z.string().min(1),
  /** How long a node's certificate is good. */
  'certificate-hours': z
    .number()
    .positive()
    .max(90 * 24)
    .default(7 * 24),
});
export type IssuerConfig = z.infer<typeof issuerConfig>;

/** The file of a separate process. */
export const processConfig = z.strictObject({
  issuer: issuerConfig,
  listen: z.strictObject(listenShape),
  metrics: metricsConfig,
  log: logConfig,
});
export type ProcessConfig = z.infer<typeof processConfig>;

/** CONFIG_INVALID for a key that others may read or that is not the certificate's, and for a certificate that may issue none. */
export const readAuthority = (
  config: Pick<IssuerConfig, 'certificate' | 'key'>,
): IssuedCertificate & { readonly notAfter: number } => {
  const { certificate: file, key: keyFile } = config;
  const [certPem, keyPem] = [text('certificate', file), text('key', keyFile)];
  if (isOpenToOthers(statSync(keyFile)))
    throw invalid(`key: ${keyFile} is open to other users of this machine: chmod 600 ${keyFile}`);
  try {
    const certificate = new X509Certificate(certPem);
    const isItsKey = certificate.publicKey.equals(createPublicKey(createPrivateKey(keyPem)));
    // A root issues everything: its key must not be where this process is.
    const isIssuer = certificate.ca && !certificate.checkIssued(certificate);
    if (isItsKey && isIssuer) return { certPem, keyPem, notAfter: certificate.validToDate.getTime() };
    if (!isItsKey) throw invalid(`key: ${keyFile} is not the key of ${file}.`);
  } catch (cause) {
    throw cause instanceof AegisError ? cause : invalid(`${file} or ${keyFile} is not a PEM file.`, cause);
  }
  throw invalid(`certificate: ${file} is none of an issuer: make one with \`aegis ca issuer NAME\`.`);
};

const text = (name: string, file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw invalid(`${name}: ${file} cannot be read.`, cause);
  }
};

const invalid = (detail: string, cause?: unknown): AegisError => new AegisError('CONFIG_INVALID', detail, cause);
