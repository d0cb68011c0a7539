import { createPublicKey, type X509Certificate } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { certify, described, type FederationCertificate, federationIdentity } from './federation-ca.ts';
import { readRoots } from './signing-certificate.ts';
import {
  algorithm,
  BACKDATED_MS,
  DAY_MS,
  type IssuedCertificate,
  importPrivate,
  importPublic,
  loadX509,
  newKeys,
  privatePem,
  serialNumber,
} from './x509.ts';

// An issuer: an authority under the root that certifies nodes for a short while, in a process that is online. What its key can do when it is
// stolen is written into its certificate, where TLS libraries enforce it: client certificates of this federation, no further authority.

const NAME_CONSTRAINTS = '2.5.29.30';
const LONGEST_REQUEST = 4_096;
const LONGEST_CHAIN = 16_384;

/** An authority under the root. It never outlives the root. */
export const createIssuer = async (
  root: IssuedCertificate,
  { name, days }: { readonly name: string; readonly days: number },
  now: number,
): Promise<FederationCertificate> => {
  const x509 = await loadX509();
  const parent = new x509.X509Certificate(root.certPem);
  const federation = parent.subjectName.getField('O')[0] ?? '';
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ O: [federation] }, { CN: [`${name} issuer`] }],
    issuer: parent.subjectName,
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(Math.min(now + days * DAY_MS, parent.notAfter.getTime())),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: await importPrivate(root.keyPem),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      new x509.Extension(NAME_CONSTRAINTS, true, namesOf(federation)),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(await parent.publicKey.export(algorithm, ['verify'])),
    ],
  });
  return { ...described(certificate), keyPem: await privatePem(keys.privateKey) };
};

/** A certificate for somebody else's key, for a while. It never outlives the issuer. */
export const certifyGuard = async (
  issuer: IssuedCertificate,
  { name, spki, seconds }: { readonly name: string; readonly spki: Buffer; readonly seconds: number },
  now: number,
): Promise<Omit<FederationCertificate, 'keyPem'>> =>
  certify(issuer, { kind: 'guard', name, lifeMs: seconds * 1000 }, await importPublic(spki), now);

/** PKCS #10 for a key of ours, DER. It asks for no name: that is not its to choose. */
export const createSigningRequest = async (keyPem: string): Promise<Buffer> => {
  const x509 = await loadX509();
  const [privateKey, publicKey] = await Promise.all([importPrivate(keyPem), importPublic(spkiOf(keyPem))]);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=node',
    keys: { privateKey, publicKey },
    signingAlgorithm: algorithm,
  });
  return Buffer.from(request.rawData);
};

/** Of the one value that stands at the front, its own head included; the library passes over whatever follows. */
const derLength = (der: Uint8Array): number => {
  const [, first = 0] = der;
  if (first < 0x80) return 2 + first;
  const octets = first & 0x7f;
  return der.subarray(2, 2 + octets).reduce((length, octet) => length * 256 + octet, 0) + 2 + octets;
};

/**
 * The public key (SPKI, DER) that a request asks a certificate for, and that signed it. CSR_INVALID for anything else than EC P-256 with
 * ECDSA-SHA256. Names and extensions that it asks for are not looked at.
 */
export const readSigningRequest = async (der: Uint8Array): Promise<Buffer> => {
  if (der.byteLength > LONGEST_REQUEST) throw new AegisError('CSR_INVALID', 'It is too long to be one.');
  if (derLength(der) !== der.byteLength) throw new AegisError('CSR_INVALID', 'Something follows it.');
  const x509 = await loadX509();
  try {
    const request = new x509.Pkcs10CertificateRequest(Buffer.from(der));
    const spki = Buffer.from(request.publicKey.rawData);
    // Throws for another curve, and for a point that is not on it.
    await importPublic(spki);
    const { name, hash } = request.signatureAlgorithm as { name: string; hash?: { name: string } };
    if (name === 'ECDSA' && hash?.name === 'SHA-256' && (await request.verify())) return spki;
  } catch (cause) {
    throw new AegisError('CSR_INVALID', 'It cannot be read, or its key cannot be used.', cause);
  }
  throw new AegisError('CSR_INVALID', 'It is not signed by the key that it asks a certificate for.');
};

export interface NodeChain {
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly issuedAt: number;
  readonly notAfter: number;
}

/**
 * A node's own certificate and its issuer's, as a server handed them over: good for `keyPem`, under one of the caller's own roots, now.
 * CERTIFICATE_HANDED for anything else: nothing a server says makes a certificate good.
 */
export const openNodeChain = (
  chain: string,
  { roots, keyPem, now }: { readonly roots: readonly X509Certificate[]; readonly keyPem: string; readonly now: number },
): NodeChain => {
  const [leaf, issuer, ...more] = parse(chain);
  if (leaf === undefined || more.length > 0) throw handed('It is no chain of one or two certificates.');
  const signs = (by: X509Certificate, one: X509Certificate) => by.ca && one.checkIssued(by) && one.verify(by.publicKey);
  const above = issuer ?? leaf;
  const root = roots.find((candidate) => signs(candidate, above));
  if (root === undefined)
    throw handed('None of the federation roots given here (root.pem of aegis ca init) stands above it.');
  if (issuer && !signs(issuer, leaf)) throw handed('Its second certificate did not issue the first.');
  for (const { validFromDate, validToDate } of [leaf, above, root]) {
    if (now < validFromDate.getTime() || now > validToDate.getTime()) {
      throw handed(`It is good from ${validFromDate.toISOString()} to ${validToDate.toISOString()} only.`);
    }
  }
  const identity = federationIdentity(leaf.subjectAltName);
  if (leaf.ca || (identity?.kind !== 'guard' && identity?.kind !== 'node')) throw handed('It is no node’s.');
  if (!spkiOf(keyPem).equals(leaf.publicKey.export({ type: 'spki', format: 'der' })))
    throw handed('It is for another key.');
  return {
    name: identity.name,
    issuedAt: leaf.validFromDate.getTime() + BACKDATED_MS,
    notAfter: leaf.validToDate.getTime(),
  };
};

const parse = (chain: string): X509Certificate[] => {
  try {
    if (chain.length <= LONGEST_CHAIN) return readRoots(chain);
  } catch (cause) {
    throw new AegisError('CERTIFICATE_HANDED', 'It cannot be read.', cause);
  }
  throw handed('It is too long to be one.');
};

const spkiOf = (keyPem: string): Buffer => createPublicKey(keyPem).export({ type: 'spki', format: 'der' });

const handed = (why: string): AegisError => new AegisError('CERTIFICATE_HANDED', why);

const der = (tag: number, ...parts: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  // Names of a federation have at most 63 characters: a length takes one byte.
  return Buffer.concat([Buffer.from([tag, body.byteLength]), body]);
};

/** NameConstraints (RFC 5280, 4.2.1.10): URIs of this host and subjects of this organization are permitted, others of both forms are not. */
const namesOf = (federation: string): Buffer => {
  const organization = der(0x30, Buffer.from('060355040a', 'hex'), der(0x0c, Buffer.from(federation)));
  const directory = der(0x30, der(0xa4, der(0x30, der(0x31, organization))));
  const uri = der(0x30, der(0x86, Buffer.from(federation)));
  return der(0x30, der(0xa0, uri, directory));
};
