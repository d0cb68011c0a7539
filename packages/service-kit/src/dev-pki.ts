import { webcrypto } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { AegisError } from '@aegis/errors';
import { writeFileAtomic } from './atomic-file.ts';
import { type Clock, systemClock } from './clock.ts';
import type { TlsFiles } from './tls-material.ts';

// Certificates for development and tests: one EC P-256 authority, leaves for servers and clients.
// (Python's grpcio refuses an all-Ed25519 chain; P-256 works everywhere.)

export interface IssuedCertificate {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface LeafRequest {
  /** Common name; also what a service's caller list names. */
  readonly name: string;
  /** DNS names and IP addresses, mixed; default: the common name alone. */
  readonly hosts?: readonly string[];
  readonly days?: number;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const minute = 60_000;
const day = 24 * 60 * minute;
const caDays = 3653;
const leafDays = 365;
// Clocks of laptops and containers run apart a little.
const backdated = 5 * minute;

export const createCa = async (name: string, now: number): Promise<IssuedCertificate> => {
  const x509 = await loadX509();
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ O: ['Aegis development'] }, { CN: [name] }],
    notBefore: new Date(now - backdated),
    notAfter: new Date(now + caDays * day),
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
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const names = (request.hosts ?? [request.name]).map((host) => ({
    type: isIP(host) === 0 ? ('dns' as const) : ('ip' as const),
    value: host,
  }));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ O: ['Aegis development'] }, { CN: [request.name] }],
    issuer: issuer.subjectName,
    notBefore: new Date(now - backdated),
    notAfter: new Date(Math.min(now + (request.days ?? leafDays) * day, issuer.notAfter.getTime())),
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

// Positive and never empty, as X.509 wants it.
const serialNumber = (): string => {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
};

const privatePem = async (key: webcrypto.CryptoKey): Promise<string> => {
  const base64 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${base64.replace(/.{64}(?=.)/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;
};

const importPrivate = (pem: string): Promise<webcrypto.CryptoKey> =>
  webcrypto.subtle.importKey('pkcs8', Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64'), algorithm, true, [
    'sign',
  ]);

// Only few commands issue certificates; the rest need not load the ASN.1 stack.
const loadX509 = async () => {
  await import('reflect-metadata');
  return import('@peculiar/x509');
};
