import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EnrolmentService } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import { issuerConfig, startIssuer } from '@aegis/issuer';
import {
  type CallContext,
  createCrl,
  createIssuer,
  createRoot,
  createSigningRequest,
  fromGrpcStatus,
  issueCertificate,
  type LocalService,
  noTelemetry,
  openNodeChain,
  readRoots,
  silentLogger,
} from '@aegis/service-kit';
import { eventually, type TemporaryFolder, temporaryFolder, withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture, TOKEN } from '../../services/gateway/src/testing/gateway-fixture.ts';
import { NativeNode } from '../../services/gateway/src/testing/native-node.ts';
import { NodeKey } from '../../services/gateway/src/testing/node-key.ts';
import { Operator } from '../../services/gateway/src/testing/operator.ts';
import { ScriptedAggregator } from '../../services/gateway/src/testing/scripted-aggregator.ts';
import { openClient, type Target } from '../../services/gateway/src/testing/wire-client.ts';

// Invitations that become certificates: two real gateways on one bus, the real issuer behind both.

const nats = withNats();
const now = Date.now();
const root = await createRoot('hospitals', 3653, now);
const authority = await createIssuer(root, { name: 'edge', days: 90 }, now);
let folder: TemporaryFolder;
let fixture: GatewayFixture;
let issuer: ReturnType<typeof startIssuer>;
let isAway = false;
let gateways: Awaited<ReturnType<GatewayFixture['gateway']>>[];
let operator: Operator;
const nodes: NativeNode[] = [];

const config = { 'client-certificates': 'require', enrolment: 'registered' };
const tls = () => ({ 'client-ca': join(folder.path, 'root.pem'), 'client-crl': join(folder.path, 'crl.pem') });

beforeAll(async () => {
  folder = await temporaryFolder('enrolment');
  const file = (name: string) => join(folder.path, name);
  await writeFile(file('root.pem'), root.certPem);
  await writeFile(file('crl.pem'), await createCrl(root, [], 30, now));
  await writeFile(file('issuer.pem'), authority.certPem);
  await writeFile(file('issuer.key'), authority.keyPem, { mode: 0o600 });
  const files = { certificate: file('issuer.pem'), key: file('issuer.key'), 'state-dir': file('issuer') };
  issuer = startIssuer(issuerConfig.parse(files), { telemetry: noTelemetry, log: silentLogger });
  fixture = await GatewayFixture.open(nats(), new ScriptedAggregator(), { tls: true });
  gateways = [await newGateway(), await newGateway()];
  operator = new Operator(targetOf(0), TOKEN);
});
afterAll(async () => {
  operator.close();
  for (const node of nodes) node.close();
  await fixture.close();
  issuer.close();
  await folder.remove();
});

const newGateway = () => fixture.gateway({ config, tls: tls(), issuer: issuerThatMayBeAway() });
const targetOf = (at: number): Target => {
  const gateway = gateways[at];
  if (!gateway) throw new Error(`no gateway ${at}`);
  return gateway.target;
};
const issuerThatMayBeAway = (): LocalService => {
  const [service] = issuer.services;
  if (!service) throw new Error('no service');
  const handlers = Object.keys(service.handlers).map((name) => [
    name,
    (request: unknown, call: CallContext) => {
      if (isAway) throw new AegisError('UNAVAILABLE', 'The issuer is away.');
      return issuer.services[0]?.handlers[name]?.(request, call);
    },
  ]);
  return { ...service, handlers: Object.fromEntries(handlers) };
};

const ask = (target: Target, name: 'enrol' | 'renew', request: object): Promise<string> =>
  new Promise((resolve, reject) => {
    const client = openClient(target);
    const { path, requestSerialize, responseDeserialize } = EnrolmentService[name];
    client.makeUnaryRequest(path, requestSerialize as never, responseDeserialize, request, (error, answer) => {
      client.close();
      if (error || !answer) reject(fromGrpcStatus(error as never));
      else resolve(answer.chain);
    });
  });
const invite = async (name: string): Promise<string> =>
  (await operator.call('inviteNode', { name, seconds: 600 })).token;
const enrol = (invitation: string, csr: Buffer, at = 0) => ask(targetOf(at), 'enrol', { invitation, csr });

class Guard {
  readonly key = new NodeKey('prime256v1');
  chain = '';

  csr(): Promise<Buffer> {
    return createSigningRequest(this.key.privateKeyPem);
  }

  async enrol(invitation: string, at = 0): Promise<string> {
    this.chain = await enrol(invitation, await this.csr(), at);
    return this.chain;
  }

  shown(at = 0): Target {
    return { ...targetOf(at), client: { cert: this.chain, key: this.key.privateKeyPem } };
  }

  node(at = 0): NativeNode {
    const node = new NativeNode(this.shown(at), this.key);
    nodes.push(node);
    return node;
  }

  /** The code that a Hello is refused with; '' when it is welcomed. */
  async greeted(at = 0): Promise<string> {
    const node = this.node(at);
    const stream = node.open();
    return Promise.race([
      node.hello(stream).then(async (hello) => {
        stream.say(hello);
        await stream.next('welcome');
        return '';
      }),
      stream.code(),
    ]).catch(() => stream.code());
  }

  async renew(at = 0, csr?: Buffer): Promise<string> {
    return ask(this.shown(at), 'renew', { csr: csr ?? (await this.csr()) });
  }
}
const code = (wanted: string) => ({ code: wanted });
const enrolled = async (name: string): Promise<Guard> => {
  const guard = new Guard();
  await guard.enrol(await invite(name));
  return guard;
};
const recordOf = async (name: string) => (await operator.call('listNodes', {})).nodes.find((one) => one.name === name);

describe('an invitation with a certificate request', () => {
  it('becomes a node whose name is the invitation’s, and whose end the operator sees', async () => {
    const ada = new Guard();
    const chain = await ada.enrol(await invite('ada'), 1);
    const opened = openNodeChain(chain, { roots: readRoots(root.certPem), keyPem: ada.key.privateKeyPem, now });
    expect(opened.name).toBe('ada');
    expect(await ada.greeted()).toBe('');
    expect(await ada.greeted(1)).toBe('');
    expect(await recordOf('ada')).toMatchObject({
      ...{ certificate: 'O=hospitals, CN=ada', certificateUntil: opened.notAfter / 1000, selfRegistered: false },
    });
    const { invitations } = await operator.call('listInvitations', {});
    expect(invitations.find(({ name }) => name === 'ada')?.nodeId).toBe((await recordOf('ada'))?.nodeId);
  });

  it('gives the same certificate to the same key again, at any gateway, and nothing to another', async () => {
    const token = await invite('bob');
    const bob = new Guard();
    const chain = await bob.enrol(token);
    expect(await bob.enrol(token, 1)).toBe(chain);
    await expect(new Guard().enrol(token, 1)).rejects.toMatchObject(code('INVITATION_REFUSED'));
  });

  it('lets exactly one of many keys have it that race at two gateways', async () => {
    for (let round = 0; round < 4; round += 1) {
      const token = await invite(`racer-${round}`);
      const guards = Array.from({ length: 6 }, () => new Guard());
      const outcomes = await Promise.all(
        guards.map((guard, at) =>
          guard.enrol(token, at % 2).then(
            () => 'in',
            ({ code }: AegisError) => code,
          ),
        ),
      );
      expect(outcomes.sort()).toEqual([...Array.from({ length: 5 }, () => 'INVITATION_REFUSED'), 'in']);
    }
  });

  it('goes on where the issuer was away: the invitation is that key’s already, and nobody else’s', async () => {
    const token = await invite('cleo');
    const cleo = new Guard();
    isAway = true;
    try {
      await expect(cleo.enrol(token)).rejects.toMatchObject(code('UNAVAILABLE'));
    } finally {
      isAway = false;
    }
    await expect(new Guard().enrol(token)).rejects.toMatchObject(code('INVITATION_REFUSED'));
    await cleo.enrol(token, 1);
    expect(await cleo.greeted()).toBe('');
  });

  it.each([
    ['forged', async () => forged()],
    ['for a key on another curve', async () => requestOnAnotherCurve()],
    ['too large', async () => Buffer.alloc(5_000, 0x30)],
    ['none', async () => Buffer.from('hello')],
    ['empty', async () => Buffer.alloc(0)],
  ])('does not lose it to a request that is %s', async (name, requested) => {
    const token = await invite(`dan-${name.replaceAll(' ', '-')}`);
    await expect(requested().then((csr) => enrol(token, csr))).rejects.toMatchObject(code('CSR_INVALID'));
    expect(await new Guard().enrol(token)).toContain('BEGIN CERTIFICATE');
  });

  it('is refused before it is read when it is larger than any', async () => {
    await expect(enrol('t', Buffer.alloc(2 * 2 ** 20))).rejects.toMatchObject(code('BODY_TOO_LARGE'));
  });

  it('needs a name, and says so to who could use it', async () => {
    const { token } = await operator.call('inviteNode', { name: '', seconds: 600 });
    const guard = new Guard();
    await expect(guard.enrol(token)).rejects.toMatchObject(code('INVITATION_NAMELESS'));
    await expect(enrol('aegis-invite-no', await guard.csr())).rejects.toMatchObject(code('INVITATION_REFUSED'));
  });

  it('makes no second node of a name, whoever certified the first', async () => {
    await enrolled('eva');
    await expect(enrolled('eva')).rejects.toMatchObject(code('ISSUER_NAME_TAKEN'));
    const { certPem, keyPem } = await issueCertificate(root, { kind: 'guard', name: 'finn', days: 9 }, now);
    const byHand = new NativeNode({ ...targetOf(0), client: { cert: certPem, key: keyPem } });
    nodes.push(byHand);
    await byHand.connect();
    await expect(enrolled('finn')).rejects.toMatchObject(code('CERTIFICATE_BOUND'));
  });
});

describe('a certificate', () => {
  it('is renewed over itself, for its own key: young ones are answered again', async () => {
    const gil = await enrolled('gil');
    await gil.node().connect();
    expect(await gil.renew(1)).toBe(gil.chain);
  });

  it('is renewed by nobody without it, and for no other key', async () => {
    const hal = await enrolled('hal');
    await hal.node().connect();
    const [csr, other] = [await hal.csr(), await enrolled('ida')];
    await expect(ask(targetOf(0), 'renew', { csr })).rejects.toMatchObject(code('CERTIFICATE_REQUIRED'));
    await expect(hal.renew(0, await new Guard().csr())).rejects.toMatchObject(code('NODE_KEY_UNKNOWN'));
    await expect(hal.renew(0, await other.csr())).rejects.toMatchObject(code('CERTIFICATE_BOUND'));
    await expect(hal.renew(0, await forged())).rejects.toMatchObject(code('CSR_INVALID'));
  });

  it('that was made by hand is not renewed by the issuer', async () => {
    const jo = new Guard();
    const keyPem = jo.key.privateKeyPem;
    jo.chain = (await issueCertificate(root, { kind: 'guard', name: 'jo', days: 9, keyPem }, now)).certPem;
    await jo.node().connect();
    await expect(jo.renew()).rejects.toMatchObject(code('ISSUER_UNKNOWN'));
  });

  it('of a node that is removed is refused at every gateway, live connections too, and not renewed', async () => {
    const kim = await enrolled('kim');
    const lea = await enrolled('lea');
    const [there, other] = [await kim.node(1).connect(), await lea.node(1).connect()];
    await operator.call('removeNode', { nodeId: there.nodeId });
    await there.stream.ended;
    await eventually(async () => {
      for (const at of [0, 1]) expect(await kim.greeted(at)).toBe('CERTIFICATE_REVOKED');
    });
    await expect(kim.renew()).rejects.toMatchObject(code('CERTIFICATE_REVOKED'));
    await expect(enrolled('kim')).rejects.toMatchObject({ code: expect.stringMatching(/^ISSUER_/) });
    other.stream.say({ $case: 'heartbeat', value: {} });
    await other.stream.next('heartbeat');
  });

  it('of a node that is removed while the issuer is away is refused all the same, and revoked when that is repeated', async () => {
    const quinn = await enrolled('quinn');
    const { stream, nodeId } = await quinn.node(1).connect();
    isAway = true;
    try {
      await expect(operator.call('removeNode', { nodeId })).rejects.toMatchObject(code('UNAVAILABLE'));
    } finally {
      isAway = false;
    }
    await stream.ended;
    for (const at of [0, 1]) expect(await quinn.greeted(at)).toBe('NODE_KEY_UNKNOWN');
    await expect(quinn.renew()).rejects.toMatchObject(code('NODE_KEY_UNKNOWN'));
    await operator.call('removeNode', { nodeId });
    await eventually(async () => expect(await quinn.greeted(1)).toBe('CERTIFICATE_REVOKED'));
  });

  it('revoked at the issuer ends its live connections by itself', async () => {
    const nia = await enrolled('nia');
    const { stream } = await nia.node(1).connect();
    const revoke = issuer.services[0]?.handlers.revoke as (request: object) => Promise<object>;
    expect(await revoke({ name: 'nia' })).toEqual({ found: true });
    await stream.ended;
    await eventually(async () => expect(await nia.greeted(0)).toBe('CERTIFICATE_REVOKED'));
  });

  it('is put off, not refused, by a gateway that has not heard from the issuer yet', async () => {
    const mia = await enrolled('mia');
    isAway = true;
    const late = await newGateway().finally(() => {
      isAway = false;
    });
    gateways.push(late);
    const at = gateways.length - 1;
    expect(['UNAVAILABLE', 'CERTIFICATE_LIST_MISSING', '']).toContain(await mia.greeted(at));
    await eventually(async () => expect(await mia.greeted(at)).toBe(''));
  });
});

it('an issuer that takes the place of another goes on with its register, and its nodes go on', async () => {
  const old = await enrolled('olga');
  issuer.close();
  const next = await createIssuer(root, { name: 'edge-2', days: 90 }, now);
  const file = (name: string) => join(folder.path, name);
  await writeFile(file('next.pem'), next.certPem);
  await writeFile(file('next.key'), next.keyPem, { mode: 0o600 });
  const former = [{ certificate: file('issuer.pem'), key: file('issuer.key') }];
  const files = { certificate: file('next.pem'), key: file('next.key'), former, 'state-dir': file('issuer') };
  issuer = startIssuer(issuerConfig.parse(files), { telemetry: noTelemetry, log: silentLogger });
  const young = await enrolled('pia');
  expect(young.chain).toContain(next.certPem);
  await eventually(async () => {
    for (const guard of [old, young]) expect(await guard.greeted(1)).toBe('');
  });
  await expect(enrolled('olga')).rejects.toMatchObject(code('ISSUER_NAME_TAKEN'));
  expect(await old.renew()).toBe(old.chain);
});

it('a gateway without an issuer says so, and one that could shut nobody out does not start', async () => {
  const without = await fixture.gateway({ config, tls: tls() });
  const csr = await new Guard().csr();
  await expect(ask(without.target, 'enrol', { invitation: 't', csr })).rejects.toMatchObject(code('ISSUER_ABSENT'));
  const listless = { 'client-ca': join(folder.path, 'root.pem') };
  await expect(fixture.gateway({ config, tls: listless, issuer: issuerThatMayBeAway() })).rejects.toMatchObject(
    code('CONFIG_INVALID'),
  );
});

/** One guard's request with another's key in it. */
const forged = async (): Promise<Buffer> => {
  const [mine, theirs] = [new Guard().key, new Guard().key];
  const request = await createSigningRequest(mine.privateKeyPem);
  const at = request.indexOf(mine.spki);
  theirs.spki.copy(request, at);
  return request;
};

const requestOnAnotherCurve = async (): Promise<Buffer> => {
  await import('reflect-metadata');
  const { Pkcs10CertificateRequestGenerator } = await import('@peculiar/x509');
  const kind = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(kind, true, ['sign', 'verify']);
  const made = await Pkcs10CertificateRequestGenerator.create({ name: 'CN=root', keys, signingAlgorithm: kind });
  return Buffer.from(made.rawData);
};
