import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { seededRandom } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { certify, createCrl, createRoot, federationIdentity, issueCertificate } from './federation-ca.ts';
import {
  certifyGuard,
  createIssuer,
  createSigningRequest,
  openNodeChain,
  readSigningRequest,
} from './federation-issuer.ts';
import { readRoots } from './signing-certificate.ts';
import { algorithm, type IssuedCertificate, importPrivate, importPublic, loadX509 } from './x509.ts';

const now = Date.now();
const day = 86_400_000;
const root = await createRoot('hospitals', 3653, now - 100 * day);
const issuer = await createIssuer(root, { name: 'edge', days: 90 }, now);
const keyOf = (curve = 'prime256v1') =>
  generateKeyPairSync('ec', {
    namedCurve: curve,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'der' },
  });
const ada = keyOf();
const certified = (changes: { name?: string; spki?: Buffer; seconds?: number } = {}, at = now, by = issuer) =>
  certifyGuard(by, { name: 'ada', spki: ada.publicKey, seconds: 7 * 86_400, ...changes }, at);
const leaf = await certified();
const chain = `${leaf.certPem}${issuer.certPem}`;
const code = (wanted: string, message = '') =>
  expect.objectContaining({ code: wanted, message: expect.stringContaining(message) });

describe('a certificate of an issuer', () => {
  it('says whose it is and what it is for, for the key that asked, and not for long', () => {
    const certificate = new X509Certificate(leaf.certPem);
    expect(federationIdentity(certificate.subjectAltName)).toEqual({
      federation: 'hospitals',
      kind: 'guard',
      name: 'ada',
    });
    expect(certificate.subject).toBe('O=hospitals\nCN=ada');
    expect(certificate.publicKey.export({ type: 'spki', format: 'der' })).toEqual(ada.publicKey);
    expect(certificate.verify(new X509Certificate(issuer.certPem).publicKey)).toBe(true);
    expect(leaf.notAfter).toBe(Math.floor((now + 7 * day) / 1000) * 1000);
  });

  it('never outlives the issuer, nor the issuer the root', async () => {
    const short = await createRoot('hospitals', 10, now);
    const under = await createIssuer(short, { name: 'edge', days: 90 }, now);
    expect(under.notAfter).toBe(short.notAfter);
    expect((await certified({ seconds: 99 * 86_400 }, now, under)).notAfter).toBe(short.notAfter);
  });

  it.each([
    ['a guard of the issuer', async () => chain, ''],
    [
      'one with a dot in its name',
      async () => `${(await certified({ name: 'ward-2.north' })).certPem}${issuer.certPem}`,
      '',
    ],
    ['one of another federation', async () => misused({ federation: 'banks' }), 'UNSPECIFIED'],
    ['one with the name of another organization', async () => misused({ organization: 'banks' }), 'UNSPECIFIED'],
    ['one for servers', async () => misused({ server: true }), 'INVALID_PURPOSE'],
    ['one without the issuer beside it', async () => leaf.certPem, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    [
      'one of an authority that the issuer made',
      async () => `${(await certified({}, now, below)).certPem}${below.certPem}${issuer.certPem}`,
      'PATH_LENGTH_EXCEEDED',
    ],
    ['a revoked one', async () => `${revoked.certPem}${issuer.certPem}`, 'CERT_REVOKED'],
    ['one of a revoked issuer', async () => `${orphan.certPem}${shut.certPem}`, 'CERT_REVOKED'],
  ] as const)('is judged by OpenSSL: %s', async (_name, chainOf, verdict) => {
    expect(await judged(await chainOf())).toBe(verdict);
  });
});

describe('a certificate request', () => {
  it('gives the key that signed it', async () => {
    expect(await readSigningRequest(await createSigningRequest(ada.privateKey))).toEqual(ada.publicKey);
  });

  it.each([
    ['nothing', async () => Buffer.alloc(0)],
    ['a certificate', async () => Buffer.from(new X509Certificate(leaf.certPem).raw)],
    ['longer than any', async () => Buffer.concat([await createSigningRequest(ada.privateKey), Buffer.alloc(5_000)])],
    ['signed by another key', async () => forged()],
    ['for a key on another curve', async () => requestOf({ ...algorithm, namedCurve: 'P-384' })],
    ['signed over SHA-1', async () => requestOf(algorithm, 'SHA-1')],
    ['for a short RSA key', async () => requestOf(rsa(1024))],
    ['for a long RSA key', async () => requestOf(rsa(3072))],
    ['for a point that is not on the curve', async () => offCurve()],
  ])('is refused that is %s', async (_name, requested) => {
    await expect(readSigningRequest(await requested())).rejects.toThrow(code('CSR_INVALID'));
  });

  it('garbled in any way gives its own key or nothing', async () => {
    const good = await createSigningRequest(ada.privateKey);
    const random = seededRandom('requests');
    for (let round = 0; round < 2_000; round += 1) {
      const bad = Buffer.from(good);
      for (let more = 0; more <= round % 3; more += 1) {
        const [at = 0, bit = 0] = random.bytes(2);
        bad[(at * 3) % bad.length] = (bad[(at * 3) % bad.length] ?? 0) ^ (1 << (bit & 7));
      }
      const cut = round % 5 === 0 ? bad.subarray(0, (round * 7) % bad.length) : bad;
      const outcome = await readSigningRequest(cut).catch((error: unknown) => error);
      if (Buffer.isBuffer(outcome)) expect(outcome).toEqual(ada.publicKey);
      else expect(outcome).toEqual(code('CSR_INVALID'));
    }
  });
});

describe('a chain that a server hands over', () => {
  const open = (given: string, changes: { keyPem?: string; roots?: X509Certificate[]; now?: number } = {}) =>
    openNodeChain(given, { roots: readRoots(root.certPem), keyPem: ada.privateKey, now, ...changes });

  it('is opened: of an issuer, or of the root itself', async () => {
    expect(open(chain)).toMatchObject({ name: 'ada', notAfter: leaf.notAfter });
    const byRoot = await issueCertificate(root, { kind: 'guard', name: 'ada', days: 9, keyPem: ada.privateKey }, now);
    expect(open(byRoot.certPem)).toMatchObject({ name: 'ada', notAfter: byRoot.notAfter });
  });

  it.each([
    ['empty', '', 'no chain'],
    ['text', 'hello', 'no chain'],
    ['endless', chain.repeat(20), 'too long'],
    ['three', chain + root.certPem, 'no chain'],
    ['no certificate', '-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n', 'cannot be read'],
    ['without its issuer', leaf.certPem, 'stands above it'],
    ['the issuer alone', issuer.certPem, 'no node'],
    ['the root alone', root.certPem, 'no node'],
  ])('is refused: %s', (_name, given, why) => {
    expect(() => open(given)).toThrow(code('CERTIFICATE_HANDED', why));
  });

  it('is refused: for another key, of another root, of another issuer, over, not begun, of another kind', async () => {
    const stranger = await createRoot('hospitals', 10, now);
    const theirs = await createIssuer(root, { name: 'edge', days: 90 }, now);
    const signing = await certify(
      issuer,
      { kind: 'signing', name: 'ada', lifeMs: day },
      await importPublic(ada.publicKey),
      now,
    );
    const cases: [() => unknown, string][] = [
      [() => open(chain, { keyPem: keyOf().privateKey }), 'another key'],
      [() => open(chain, { roots: readRoots(stranger.certPem) }), 'stands above it'],
      [() => open(chain, { roots: [] }), 'stands above it'],
      [() => open(leaf.certPem + theirs.certPem), 'did not issue'],
      [() => open(chain, { now: now + 8 * day }), 'is good from'],
      [() => open(chain, { now: now - day }), 'is good from'],
      [() => open(signing.certPem + issuer.certPem), 'no node'],
    ];
    for (const [refused, why] of cases) expect(refused).toThrow(code('CERTIFICATE_HANDED', why));
  });
});

const revoked = await certified();
const below = await createIssuer(issuer, { name: 'below', days: 9 }, now);
const shut = await createIssuer(root, { name: 'shut', days: 90 }, now);
const orphan = await certified({}, now, shut);
const listsOf = async () => [
  await createCrl(root, [{ serial: shut.serial, at: now }], 30, now),
  await createCrl(issuer, [{ serial: revoked.serial, at: now }], 30, now),
  await createCrl(shut, [], 30, now),
  await createCrl(below, [], 30, now),
];

/** What the issuer's key could sign, were it stolen. */
const misused = async ({ federation = 'hospitals', organization = 'hospitals', server = false }): Promise<string> => {
  const x509 = await loadX509();
  const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: '4711',
    subject: [{ O: [organization] }, { CN: ['ada'] }],
    issuer: new x509.X509Certificate(issuer.certPem).subjectName,
    notBefore: new Date(now - day / 2),
    notAfter: new Date(now + day),
    signingAlgorithm: algorithm,
    publicKey: await importPublic(ada.publicKey),
    signingKey: await importPrivate(issuer.keyPem),
    extensions: [
      new x509.ExtendedKeyUsageExtension([server ? serverAuth : clientAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${federation}/guard/ada` }]),
      await x509.AuthorityKeyIdentifierExtension.create(
        await importPublic(createPublicKey(issuer.keyPem).export({ type: 'spki', format: 'der' })),
      ),
    ],
  });
  return `${certificate.toString('pem')}\n${issuer.certPem}`;
};

const rsa = (modulusLength: number) => ({
  ...{ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength },
  publicExponent: new Uint8Array([1, 0, 1]),
});
// biome-ignore lint/suspicious/noExplicitAny: keys of any kind, as a stranger may send them
const requestOf = async (kind: any, hash = 'SHA-256'): Promise<Buffer> => {
  const x509 = await loadX509();
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const keys = (await crypto.subtle.generateKey(kind, true, ['sign', 'verify'])) as any;
  const signingAlgorithm = { ...kind, hash };
  const { rawData } = await x509.Pkcs10CertificateRequestGenerator.create({ name: 'CN=ada', keys, signingAlgorithm });
  return Buffer.from(rawData);
};
/** Ada's request with Eve's key in the place of hers. */
const forged = async (): Promise<Buffer> => {
  const request = await createSigningRequest(ada.privateKey);
  const at = request.indexOf(ada.publicKey);
  keyOf().publicKey.copy(request, at);
  return request;
};
const offCurve = async (): Promise<Buffer> => {
  const request = await createSigningRequest(ada.privateKey);
  const last = request.indexOf(ada.publicKey) + ada.publicKey.length - 1;
  request[last] = (request[last] ?? 0) ^ 1;
  return request;
};

/** What a TLS 1.3 server that has the root and the lists says of a client that shows this chain, whatever its key. */
const judged = async (shown: string): Promise<string> => {
  const server = await serving();
  const verdict = once(server, 'secureConnection') as Promise<[TLSSocket]>;
  const { port } = server.address() as AddressInfo;
  const socket = connect({
    ...{ host: '127.0.0.1', port, servername: 'localhost', ca: root.certPem, cert: shown, key: ada.privateKey },
  });
  socket.on('error', () => {});
  socket.resume();
  try {
    const [{ authorized, authorizationError }] = await verdict;
    const error = authorizationError as { code?: string } | string | null;
    return authorized ? '' : String(typeof error === 'string' ? error : error?.code);
  } finally {
    socket.destroy();
    server.close();
  }
};

const serving = async () => {
  const own: IssuedCertificate = await issueCertificate(
    root,
    { kind: 'service', name: 'gateway', hosts: ['localhost'], days: 9 },
    now,
  );
  const server = createServer({
    ...{ cert: own.certPem, key: own.keyPem, ca: root.certPem, crl: await listsOf() },
    ...{ requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.3' as const },
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
};
