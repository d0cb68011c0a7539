import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { SigningKey } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { SigningTrust } from '@aegis/service-kit';
import type { Signing } from './flows/signing.ts';

export interface SigningFiles {
  /** `aegis ca issue NAME --kind signing` made it. */
  readonly certificate: string;
  readonly key: string;
  /** Root certificates of the federation, the owner's own copy: nothing a server says makes another certificate good. */
  readonly roots: string;
  /** What they revoked, the owner's own copy; absent: nothing is known to be revoked. */
  readonly crl?: string;
}

/**
 * What this node signs with, and whose signatures it believes. CONFIG_INVALID for a key that others may read or that is not the
 * certificate's, SECAGG_CERTIFICATE for a certificate that other nodes would refuse now.
 */
export const readSigning = async (files: SigningFiles, now: number): Promise<Signing> => {
  const certificatePem = text(files.certificate);
  const trust = await SigningTrust.open(files);
  trust.openCertificate(certificatePem, now);
  const key = readKey(files.key);
  const certified = new X509Certificate(certificatePem).publicKey.export({ type: 'spki', format: 'pem' }).toString();
  if (certified.trim() !== key.publicPem.trim()) throw invalid(`${files.key} is not the key of ${files.certificate}.`);
  return {
    ...{ certificatePem, key },
    open: (pem, at) => trust.openCertificate(pem, at),
    watch: (clock, log) => trust.watch(clock, log),
  };
};

/** The key goes into the core; what was read on the way is wiped. */
const readKey = (file: string): SigningKey => {
  if ((statSync(file, { throwIfNoEntry: false })?.mode ?? 0) & 0o077) {
    throw invalid(`${file} is open to other users of this machine: chmod 600 ${file}`);
  }
  const pem = bytes(file);
  let der = Buffer.alloc(0);
  try {
    der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
    return SigningKey.fromPkcs8(der);
  } catch (cause) {
    throw invalid(`${file} is no private key of the kind that signs: Ed25519 or EC P-256.`, cause);
  } finally {
    pem.fill(0);
    der.fill(0);
  }
};

const bytes = (file: string): Buffer => {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw invalid(`${file} cannot be read.`, cause);
  }
};

const text = (file: string): string => bytes(file).toString('utf8');

const invalid = (detail: string, cause?: unknown): AegisError => new AegisError('CONFIG_INVALID', detail, cause);
