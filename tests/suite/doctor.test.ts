import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createCrl, createRoot, type IssuedCertificate, issueCertificate } from '@aegis/service-kit';
import { type TemporaryFolder, temporaryFolder, withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { examine } from '../../cli/src/doctor/examine.ts';
import type { OwnIdentity, Patient, Step } from '../../cli/src/doctor/step.ts';
import { GatewayFixture } from '../../services/gateway/src/testing/gateway-fixture.ts';
import { NativeNode } from '../../services/gateway/src/testing/native-node.ts';
import { NodeKey } from '../../services/gateway/src/testing/node-key.ts';
import { ScriptedAggregator } from '../../services/gateway/src/testing/scripted-aggregator.ts';

// What `aegis doctor` says of each thing that can be wrong between a node and a gateway: real gateways, real certificates.

type Gateway = Awaited<ReturnType<GatewayFixture['gateway']>>;

const nats = withNats();
const now = Date.now();
const day = 86_400_000;
const root = await createRoot('hospitals', 3653, now);
const stranger = await createRoot('hospitals', 3653, now);
let folder: TemporaryFolder;
let fixture: GatewayFixture;
let requiring: Gateway;
let plain: Gateway;
const revoked: { serial: string; at: number }[] = [];

const crlFile = () => join(folder.path, 'crl.pem');
const writeCrl = async () => writeFile(crlFile(), await createCrl(root, revoked, 30, now));

beforeAll(async () => {
  folder = await temporaryFolder('doctor');
  const tls = { 'client-ca': join(folder.path, 'root.pem'), 'client-crl': crlFile() };
  await writeFile(tls['client-ca'], root.certPem);
  await writeCrl();
  fixture = await GatewayFixture.open(nats(), new ScriptedAggregator(), { tls: true });
  const config = { 'client-certificates': 'require', enrolment: 'registered' };
  requiring = await fixture.gateway({ config, tls });
  plain = await fixture.gateway({ config: { enrolment: 'registered' } });
});
afterAll(async () => {
  await fixture.close();
  await folder.remove();
});

const patientOf = ({ target }: Gateway, more: Partial<Patient> = {}): Patient => ({
  ...{ host: 'localhost', port: target.port, ca: target.ca?.toString() },
  ...{ insecure: false, now: Date.now, timeoutMs: 20_000 },
  ...more,
});

const issue = async (name: string, more: { by?: IssuedCertificate; kind?: 'guard' | 'service'; at?: number } = {}) => {
  const { by = root, kind = 'guard', at = now } = more;
  const hosts = kind === 'service' ? { hosts: ['localhost'] } : {};
  return issueCertificate(by, { kind, name, days: 1, ...hosts }, at);
};
const ownOf = (certificate: IssuedCertificate, changes: Partial<OwnIdentity> = {}): OwnIdentity => ({
  ...{ certificate: certificate.certPem, key: certificate.keyPem, isOpenToOthers: false },
  ...changes,
});

/** The one step that fails, and what to do about it; every step after it is left out. */
const faultOf = (steps: readonly Step[]): Step => {
  const failed = steps.filter(({ state }) => state === 'failed');
  expect(failed).toHaveLength(1);
  const [fault] = failed as [Step];
  expect(fault.detail).not.toMatch(/\n/);
  expect(fault.todo).not.toBe('');
  return fault;
};
const examined = async (gateway: Gateway, more: Partial<Patient> = {}) => examine(patientOf(gateway, more));
const fault = async (gateway: Gateway, more: Partial<Patient> = {}) => faultOf(await examined(gateway, more));

const nodeKey = (): string => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
};

describe('aegis doctor at a gateway that demands certificates', () => {
  it('finds nothing wrong with a good one, by the name that the gateway has', async () => {
    const own = ownOf(await issue('ada'));
    for (const more of [{}, { host: '127.0.0.1', serverName: 'localhost' }]) {
      const steps = await examined(requiring, { own, ...more });
      expect(steps.filter(({ state }) => state !== 'ok')).toEqual([]);
      expect(steps.find(({ name }) => name === 'own certificate')?.detail).toContain('guard ada');
      expect(steps.at(-1)?.detail).toContain('its certificate lets it in');
    }
  });

  it('knows the key of a guard that is in', async () => {
    const certificate = await issue('bea');
    const key = new NodeKey('prime256v1');
    const shown = { cert: certificate.certPem, key: certificate.keyPem };
    const node = new NativeNode({ ...requiring.target, client: shown }, key);
    await node.connect();
    const steps = await examined(requiring, { own: ownOf(certificate), nodeKey: key.privateKeyPem });
    node.close();
    expect(steps.at(-1)).toMatchObject({
      name: 'node key',
      state: 'ok',
      detail: expect.stringContaining('registered'),
    });
  });

  it('none shown', async () => {
    expect(await fault(requiring)).toMatchObject({
      name: 'client certificate',
      detail: expect.stringContaining('CERTIFICATE_REQUIRED'),
      todo: expect.stringContaining('aegis guard'),
    });
  });

  const told: [string, () => Promise<OwnIdentity>, string, RegExp][] = [
    ['expired', async () => ownOf(await issue('eve', { at: now - 3 * day })), 'own certificate', /expired on/],
    ['not valid yet', async () => ownOf(await issue('eve', { at: now + 3 * day })), 'own certificate', /only from/],
    ['right CA, wrong SAN', async () => ownOf(await issue('gw', { kind: 'service' })), 'own certificate', /service gw/],
    [
      'key swapped',
      async () => ownOf(await issue('eve'), { key: (await issue('mal')).keyPem }),
      'own certificate',
      /not that of the certificate/,
    ],
    [
      'a key that others can read',
      async () => ownOf(await issue('eve'), { isOpenToOthers: true }),
      'own certificate',
      /other users/,
    ],
    [
      'no certificate at all',
      async () => ownOf(await issue('eve'), { certificate: 'x' }),
      'own certificate',
      /no cert/,
    ],
    ['wrong CA', async () => ownOf(await issue('ada', { by: stranger })), 'client certificate', /_UNTRUSTED/],
  ];
  it.each(told)('%s', async (_name, own, name, words) => {
    expect(await fault(requiring, { own: await own() })).toMatchObject({ name, detail: expect.stringMatching(words) });
  });

  /** The same faults where this machine sees none: its clock agrees with the certificate, or it does not read the SAN. */
  const byGateway: [string, Parameters<typeof issue>[1], number, string][] = [
    ['expired', { at: now - 3 * day }, -3 * day, 'CERTIFICATE_EXPIRED'],
    ['not valid yet', { at: now + 3 * day }, 3 * day, 'CERTIFICATE_NOT_YET_VALID'],
    ['of the wrong kind', { kind: 'service' }, 0, 'CERTIFICATE_KIND'],
  ];
  it.each(byGateway)('%s, as the gateway sees it', async (_name, more, skew, code) => {
    const { checkClientCertificate } = await import('../../cli/src/doctor/own-certificate.ts');
    const patient = patientOf(requiring, { own: ownOf(await issue('eve', more)), now: () => Date.now() + skew });
    await expect(checkClientCertificate(patient)).rejects.toThrow(code);
  });

  it('revoked in the middle of its work', async () => {
    const certificate = await issue('kit');
    const own = ownOf(certificate);
    const shown = { cert: certificate.certPem, key: certificate.keyPem };
    const node = new NativeNode({ ...requiring.target, client: shown });
    const { stream } = await node.connect();
    expect((await examined(requiring, { own })).filter(({ state }) => state === 'failed')).toEqual([]);
    revoked.push({ serial: certificate.serial, at: now });
    await writeCrl();
    await stream.code();
    node.close();
    expect(await fault(requiring, { own })).toMatchObject({
      name: 'client certificate',
      detail: expect.stringContaining('CERTIFICATE_REVOKED'),
    });
  });
});

describe('aegis doctor on the way to a gateway', () => {
  it('is let in without a certificate where none is asked for', async () => {
    const steps = await examined(plain);
    expect(steps.filter(({ state }) => state === 'failed')).toEqual([]);
    expect(steps.find(({ name }) => name === 'client certificate')?.detail).toContain('without one');
  });

  it('server certificate not trusted', async () => {
    expect(await fault(plain, { ca: root.certPem })).toMatchObject({ name: 'certificate chain' });
    expect((await fault(plain, { ca: undefined })).todo).toContain('--ca');
  });

  it('wrong host name', async () => {
    const found = await fault(plain, { serverName: 'gateway.example' });
    expect(found).toMatchObject({ name: 'certificate name (SAN)', detail: expect.stringContaining('gateway.example') });
  });

  it('a machine that speaks only TLS 1.2', async () => {
    expect(await fault(plain, { maxVersion: 'TLSv1.2' })).toMatchObject({
      name: 'TLS version',
      detail: expect.stringContaining('this machine speaks only TLS 1.2'),
    });
  });

  it('plain text to a TLS port', async () => {
    expect(await fault(plain, { insecure: true })).toMatchObject({
      name: 'health over HTTP',
      detail: expect.stringContaining('speaks TLS'),
    });
  });

  it('a clock that is wrong', async () => {
    expect(await fault(plain, { now: () => Date.now() - 3_600_000 })).toMatchObject({
      name: 'clock',
      detail: expect.stringContaining('behind'),
    });
  });

  it('a key that nobody registered', async () => {
    expect(await fault(plain, { nodeKey: nodeKey() })).toMatchObject({
      name: 'node key',
      detail: expect.stringContaining('not registered'),
      todo: expect.stringContaining('aegis nodes approve'),
    });
  });

  it('a timestamp that was used before', async () => {
    const key = nodeKey();
    const still = Date.now();
    const more = { nodeKey: key, now: () => still };
    await examined(plain, more);
    expect(await fault(plain, more)).toMatchObject({
      name: 'node key',
      detail: expect.stringContaining('NODE_REPLAYED'),
      todo: expect.stringContaining('repeats calls'),
    });
  });

  it('a gateway that is gone', async () => {
    const gone = await fixture.gateway();
    await gone.close();
    expect(await fault(gone)).toMatchObject({ name: 'TCP', detail: expect.stringContaining('ECONNREFUSED') });
  });

  it('NATS away', async () => {
    await nats().kill();
    try {
      expect(await fault(plain)).toMatchObject({
        name: 'health over HTTP',
        detail: expect.stringContaining('STORE_UNAVAILABLE'),
        todo: expect.stringContaining('nats-server'),
      });
    } finally {
      await nats().restart();
    }
  });
});
