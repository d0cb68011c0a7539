import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { AegisError } from '@aegis/errors';
import { writeFileAtomic } from './atomic-file.ts';
import { type Clock, systemClock } from './clock.ts';
import type { TlsFiles } from './tls-material.ts';
import {
  algorithm,
  BACKDATED_MS,
  DAY_MS,
  type IssuedCertificate,
  importPrivate,
  loadX509,
  newKeys,
  privatePem,
  serialNumber,
} from './x509.ts';

// Certificates for development and tests: one EC P-256 authority, leaves for servers and clients.

export interface LeafRequest {
  /** Common name; also what a service's caller list names. */
  readonly name: string;
  /** Of the certificate, where its file is called otherwise. */
  readonly commonName?: string;
  /** DNS names and IP addresses, mixed; default: the common name alone. */
  readonly hosts?: readonly string[];
  readonly days?: number;
}

const caDays = 3653;
const leafDays = 365;

export const createCa = async (name: string, now: number): Promise<IssuedCertificate> => {
  const x509 = await loadX509();
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ O: ['Aegis development'] }, { CN: [name] }],
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(now + caDays * DAY_MS),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certPem: `${certificate.toString('pem')}\n`, keyPem: await privatePem(keys.privateKey) };
};

/** Issues a certificate good for a TLS server and a TLS client. */
export const issueLeaf = async (
  ca: IssuedCertificate,
  request: LeafRequest,
  now: number,
): Promise<IssuedCertificate> => {
  const x509 = await loadX509();
  const issuer = new x509.X509Certificate(ca.certPem);
  const keys = await newKeys();
  const names = (request.hosts ?? [request.name]).map((host) => ({
    type: isIP(host) === 0 ? ('dns' as const) : ('ip' as const),
    value: host,
  }));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ O: ['Aegis development'] }, { CN: [request.commonName ?? request.name] }],
    issuer: issuer.subjectName,
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(Math.min(now + (request.days ?? leafDays) * DAY_MS, issuer.notAfter.getTime())),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: await importPrivate(ca.keyPem),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension(names),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(await issuer.publicKey.export(algorithm, ['verify'])),
    ],
  });
  return { certPem: `${certificate.toString('pem')}\n`, keyPem: await privatePem(keys.privateKey) };
};

export interface DevPki {
  /** Path of the authority's certificate. */
  readonly ca: string;
  readonly folder: string;
  /** Writes `<name>.pem` and `<name>.key` (0600), replacing older ones. */
  issue(request: LeafRequest): Promise<TlsFiles>;
}

/** Opens the authority in a folder (`ca.pem`, `ca.key`), creating it the first time. */
export const openDevPki = async (folder: string, clock: Clock = systemClock): Promise<DevPki> => {
  const caFile = join(folder, 'ca.pem');
  const ca = (await readPair(caFile, join(folder, 'ca.key'))) ?? (await createCa('Aegis development CA', clock.now()));
  await writePair(caFile, join(folder, 'ca.key'), ca);
  return {
    ca: caFile,
    folder,
    issue: async (request) => {
      const files = { ca: caFile, cert: join(folder, `${request.name}.pem`), key: join(folder, `${request.name}.key`) };
      await writePair(files.cert, files.key, await issueLeaf(ca, request, clock.now()));
      return files;
    },
  };
};

const readPair = async (certFile: string, keyFile: string): Promise<IssuedCertificate | undefined> => {
  const read = (file: string) =>
    readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw new AegisError('CONFIG_INVALID', `${file} cannot be read.`, error);
    });
  const [certPem, keyPem] = await Promise.all([read(certFile), read(keyFile)]);
  // The key is written first, so a key without its certificate is an issue that was cut short; the reverse is a lost key.
  if (certPem === undefined) return undefined;
  if (keyPem === undefined)
    throw new AegisError('CONFIG_INVALID', `${certFile} is there but its key ${keyFile} is not.`);
  return { certPem, keyPem };
};

const writePair = async (certFile: string, keyFile: string, { certPem, keyPem }: IssuedCertificate): Promise<void> => {
  await writeFileAtomic(keyFile, keyPem, 0o600);
  await writeFileAtomic(certFile, certPem, 0o644);
};
