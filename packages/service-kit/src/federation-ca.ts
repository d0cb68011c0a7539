import { createPublicKey, type webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
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

// The federation's own authority: one root that is kept offline, and leaves whose purpose is fixed by the certificate itself.
// Whoever verifies one reads purpose and name from a URI in it (`spiffe://FEDERATION/KIND/NAME`), never from a file name.

/**
 * `node`: a native client. `guard`: the data owner's door for a SuperNode. Both are nodes, and a name is one node whichever it is.
 * `service`: a server. `signing`: a node's key for what others must be able to check later; no TLS.
 */
export type CertificateKind = 'node' | 'guard' | 'service' | 'signing';

export interface CertificateRequest {
  readonly kind: CertificateKind;
  /** Unique in the federation; see `isFederationName`. */
  readonly name: string;
  /** DNS names and IP addresses of a service. */
  readonly hosts?: readonly string[];
  /** Whose node or guard it is, where one person or house has several; see `isFederationName`. */
  readonly user?: string;
  readonly days: number;
  /** The key to certify (PKCS #8 PEM); default: a new one. */
  readonly keyPem?: string;
}

export interface FederationCertificate extends IssuedCertificate {
  /** Hex. */
  readonly serial: string;
  readonly subject: string;
  /** Milliseconds since 1970. */
  readonly notAfter: number;
}

/** Beside the SPIFFE id, which must be the only one: an id of its own, so that the subject stays that of one node. */
const USER_URN = 'urn:aegis:user:';

/** The name of a federation, node or service: what a file, a URI and a certificate's subject can all hold without escapes. */
export const isFederationName = (name: string): boolean => /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/.test(name);

/** A root that may certify leaves, and issuers that certify leaves. */
export const createRoot = async (federation: string, days: number, now: number): Promise<FederationCertificate> => {
  const x509 = await loadX509();
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ O: [federation] }, { CN: [`${federation} root`] }],
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(now + days * DAY_MS),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { ...described(certificate), keyPem: await privatePem(keys.privateKey) };
};

/** A leaf under the root. It never outlives the root. */
export const issueCertificate = async (
  root: IssuedCertificate,
  { days, keyPem, ...request }: CertificateRequest,
  now: number,
): Promise<FederationCertificate> => {
  const { publicKey, privateKey } = await keysOf(keyPem);
  const certificate = await certify(root, { ...request, lifeMs: days * DAY_MS }, publicKey, now);
  return { ...certificate, keyPem: await privatePem(privateKey) };
};

/** A leaf for this key under an authority, which it never outlives. */
export const certify = async (
  authority: IssuedCertificate,
  request: Omit<CertificateRequest, 'days' | 'keyPem'> & { readonly lifeMs: number },
  publicKey: webcrypto.CryptoKey,
  now: number,
): Promise<Omit<FederationCertificate, 'keyPem'>> => {
  const x509 = await loadX509();
  const issuer = new x509.X509Certificate(authority.certPem);
  const federation = issuer.subjectName.getField('O')[0] ?? '';
  const { kind, name, hosts = [], user } = request;
  const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
  const purposes = { node: [clientAuth], guard: [clientAuth], service: [serverAuth, clientAuth], signing: [] }[kind];
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ O: [federation] }, { CN: [name] }],
    issuer: issuer.subjectName,
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(Math.min(now + request.lifeMs, issuer.notAfter.getTime())),
    signingAlgorithm: algorithm,
    publicKey,
    signingKey: await importPrivate(authority.keyPem),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      ...(purposes.length > 0 ? [new x509.ExtendedKeyUsageExtension(purposes)] : []),
      new x509.SubjectAlternativeNameExtension([
        { type: 'url', value: `spiffe://${federation}/${kind}/${name}` },
        ...(user === undefined ? [] : [{ type: 'url' as const, value: `${USER_URN}${user}` }]),
        ...hosts.map((host) => ({ type: isIP(host) === 0 ? ('dns' as const) : ('ip' as const), value: host })),
      ]),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(await issuer.publicKey.export(algorithm, ['verify'])),
    ],
  });
  return described(certificate);
};

export interface Revoked {
  /** Hex. */
  readonly serial: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** The list of what must not be trusted any more, PEM. Verifiers refuse everybody when it is older than `days`. */
export const createCrl = async (
  root: IssuedCertificate,
  revoked: readonly Revoked[],
  days: number,
  now: number,
): Promise<string> => {
  const x509 = await loadX509();
  const issuer = new x509.X509Certificate(root.certPem);
  const crl = await x509.X509CrlGenerator.create({
    issuer: issuer.subjectName,
    thisUpdate: new Date(now - BACKDATED_MS),
    nextUpdate: new Date(now + days * DAY_MS),
    signingAlgorithm: algorithm,
    signingKey: await importPrivate(root.keyPem),
    // Without a reason the library writes an empty list of extensions, which OpenSSL refuses to read.
    entries: revoked.map(({ serial, at }) => ({
      serialNumber: serial,
      revocationDate: new Date(at),
      reason: x509.X509CrlReason.privilegeWithdrawn,
    })),
    extensions: [
      await x509.AuthorityKeyIdentifierExtension.create(await issuer.publicKey.export(algorithm, ['verify'])),
    ],
  });
  // Its own label is one that only itself reads.
  return `${crl.toString('pem').replaceAll(/(?<=-----(BEGIN|END) )CRL/g, 'X509 CRL')}\n`;
};

/** On one line, `O=…, CN=…`: as it is compared with, written down and shown everywhere. */
export const subjectOf = ({ subject }: { readonly subject: string }): string => subject.replaceAll('\n', ', ');

/** Kind and name that a federation's certificate carries; null when it is none of a federation. */
export const federationIdentity = (
  subjectAltName: string | undefined,
): { federation: string; kind: CertificateKind; name: string } | null => {
  const uris = (subjectAltName ?? '').split(', ').filter((entry) => entry.startsWith('URI:spiffe://'));
  const [, federation = '', kind, name = ''] =
    /^URI:spiffe:\/\/([a-z0-9.-]{1,63})\/(node|guard|service|signing)\/([a-z0-9.-]{1,63})$/.exec(uris[0] ?? '') ?? [];
  if (uris.length !== 1 || !isFederationName(federation) || !isFederationName(name)) return null;
  return { federation, kind: kind as CertificateKind, name };
};

/** The one user that a certificate names; empty when it names none, or more than one. */
export const certifiedUser = (subjectAltName: string | undefined): string => {
  const users = (subjectAltName ?? '').split(', ').filter((entry) => entry.startsWith(`URI:${USER_URN}`));
  const user = users.length === 1 ? (users[0] ?? '').slice(`URI:${USER_URN}`.length) : '';
  return isFederationName(user) ? user : '';
};

const keysOf = async (keyPem: string | undefined) => {
  if (keyPem === undefined) return newKeys();
  const privateKey = await importPrivate(keyPem);
  const publicKey = await importPublic(createPublicKey(keyPem).export({ type: 'spki', format: 'der' }));
  return { publicKey, privateKey };
};

export const described = (certificate: {
  toString(format: 'pem'): string;
  readonly serialNumber: string;
  readonly subject: string;
  readonly notAfter: Date;
}): Omit<FederationCertificate, 'keyPem'> => ({
  certPem: `${certificate.toString('pem')}\n`,
  serial: certificate.serialNumber,
  subject: certificate.subject,
  notAfter: certificate.notAfter.getTime(),
});
