import { createPrivateKey, sign, verify, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { describe, expect, it } from 'vitest';
import {
  certifiedUser,
  createCrl,
  createRoot,
  federationIdentity,
  isFederationName,
  issueCertificate,
} from './federation-ca.ts';
import type { IssuedCertificate } from './x509.ts';

const now = Date.now();
const day = 86_400_000;
const root = await createRoot('hospitals', 3653, now);
const gateway = await issueCertificate(root, { kind: 'service', name: 'gateway', hosts: ['localhost'], days: 90 }, now);
const guard = await issueCertificate(root, { kind: 'guard', name: 'ada', days: 90 }, now);

describe('the certificates of a federation', () => {
  it('say in themselves whose they are and what they are for', () => {
    const leaf = new X509Certificate(guard.certPem);
    expect(leaf.verify(new X509Certificate(root.certPem).publicKey)).toBe(true);
    expect(federationIdentity(leaf.subjectAltName)).toEqual({ federation: 'hospitals', kind: 'guard', name: 'ada' });
    expect(leaf.subject).toBe('O=hospitals\nCN=ada');
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
    expect(leaf.ca).toBe(false);
  });

  it('may say whose node it is, and stay those of one node', async () => {
    const request = { kind: 'guard', name: 'ada', user: 'house-a', days: 90 } as const;
    const leaf = new X509Certificate((await issueCertificate(root, request, now)).certPem);
    expect(certifiedUser(leaf.subjectAltName)).toBe('house-a');
    expect(federationIdentity(leaf.subjectAltName)?.name).toBe('ada');
    expect(leaf.subject).toBe('O=hospitals\nCN=ada');
    expect(certifiedUser(new X509Certificate(guard.certPem).subjectAltName)).toBe('');
  });

  it.each([
    undefined,
    'URI:urn:aegis:user:',
    'URI:urn:aegis:user:Ada',
    'URI:urn:aegis:user:a, URI:urn:aegis:user:b',
    'DNS:urn:aegis:user:a',
    'URI:"urn:aegis:user:a\\u002c b"',
  ])('name no user by %s', (names) => {
    expect(certifiedUser(names)).toBe('');
  });

  it('never outlive the root', async () => {
    const old = await createRoot('hospitals', 10, now);
    const { notAfter } = await issueCertificate(old, { kind: 'node', name: 'ada', days: 90 }, now);
    expect(notAfter).toBe(Math.floor((now + 10 * day) / 1000) * 1000);
  });

  it('are renewed under the same key when it is given', async () => {
    const renewed = await issueCertificate(root, { kind: 'guard', name: 'ada', days: 90, keyPem: guard.keyPem }, now);
    expect(renewed.serial).not.toBe(guard.serial);
    expect(new X509Certificate(renewed.certPem).publicKey.equals(new X509Certificate(guard.certPem).publicKey)).toBe(
      true,
    );
  });

  it('of the kind "signing" sign, and open no connection', async () => {
    const signing = await issueCertificate(root, { kind: 'signing', name: 'ada', days: 365 }, now);
    const said = Buffer.from('what ada said');
    const signature = sign('sha256', said, createPrivateKey(signing.keyPem));
    expect(verify('sha256', said, new X509Certificate(signing.certPem).publicKey, signature)).toBe(true);
    expect(verify('sha256', Buffer.from('other'), new X509Certificate(signing.certPem).publicKey, signature)).toBe(
      false,
    );
    expect(federationIdentity(new X509Certificate(signing.certPem).subjectAltName)?.kind).toBe('signing');
  });

  it.each([
    ['a guard', guard, ''],
    ['nobody', undefined, 'UNABLE_TO_GET_ISSUER_CERT'],
    ['a stranger who calls himself ada', 'stranger', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['a guard whose certificate ended', 'expired', 'CERT_HAS_EXPIRED'],
    ['a guard whose certificate was taken back', 'revoked', 'CERT_REVOKED'],
  ] as const)('let OpenSSL tell %s', async (_name, client, reason) => {
    const strangers = await createRoot('hospitals', 10, now);
    const made = {
      stranger: await issueCertificate(strangers, { kind: 'guard', name: 'ada', days: 9 }, now),
      expired: await issueCertificate(root, { kind: 'guard', name: 'ada', days: 1 }, now - 2 * day),
      revoked: await issueCertificate(root, { kind: 'guard', name: 'ada', days: 1 }, now),
    };
    const crl = await createCrl(root, [{ serial: made.revoked.serial, at: now }], 30, now);
    expect(await judged(crl, typeof client === 'string' ? made[client] : client)).toBe(reason);
  });
});

it('reads no identity from a certificate that carries none, two, or one that is not well formed', () => {
  for (const names of [
    undefined,
    'DNS:ada.example',
    'URI:spiffe://hospitals/guard/ada, URI:spiffe://hospitals/guard/bob',
    'URI:spiffe://hospitals/admin/ada',
    'URI:spiffe://hospitals/guard/ada/more',
    'URI:spiffe://hospitals/guard/-ada',
    '"URI:spiffe://hospitals/guard/ada"',
  ]) {
    expect(federationIdentity(names)).toBeNull();
  }
});

it.each([
  ['ada', true],
  ['ada-2.ward', true],
  ['a', true],
  ['a'.repeat(63), true],
  ['a'.repeat(64), false],
  ['', false],
  ['Ada', false],
  ['ada/bob', false],
  ['-ada', false],
  ['ada.', false],
])('%j is a name: %j', (name, expected) => {
  expect(isFederationName(name)).toBe(expected);
});

/** What a TLS 1.3 server that has the root and the CRL says of this client. */
const judged = async (crl: string, client: IssuedCertificate | undefined): Promise<string> => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const server = createServer(
    {
      ...{ cert: gateway.certPem, key: gateway.keyPem, ca: root.certPem, crl },
      ...{ requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.3' as const },
    },
    (socket: TLSSocket) => {
      const { authorizationError } = socket;
      const code = socket.authorized ? '' : ((authorizationError as { code?: string } | string | null) ?? 'none');
      resolve(String(typeof code === 'string' ? code : code.code));
      socket.end();
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const socket = connect({
    ...{ host: '127.0.0.1', port, servername: 'localhost', ca: root.certPem },
    ...(client && { cert: client.certPem, key: client.keyPem }),
  });
  socket.on('error', () => {});
  socket.resume();
  try {
    return await promise;
  } finally {
    socket.destroy();
    server.close();
  }
};
