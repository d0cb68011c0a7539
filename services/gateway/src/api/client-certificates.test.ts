import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import {
  type CertificateRequest,
  createCrl,
  createRoot,
  createTelemetry,
  type IssuedCertificate,
  issueCertificate,
} from '@aegis/service-kit';
import { eventually, type TemporaryFolder, temporaryFolder, withNats } from '@aegis/testkit';
import { Metadata } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture, TOKEN } from '../testing/gateway-fixture.ts';
import { NativeNode } from '../testing/native-node.ts';
import { NodeKey } from '../testing/node-key.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';
import { httpClient, openClient, Refused, rawGrpc, type Target } from '../testing/wire-client.ts';

type Gateway = Awaited<ReturnType<GatewayFixture['gateway']>>;
type Certificate = NonNullable<Target['client']>;

const nats = withNats();
const now = Date.now();
const day = 86_400_000;
const root = await createRoot('hospitals', 3653, now);
const stranger = await createRoot('hospitals', 3653, now);
const issued = async (
  by: IssuedCertificate,
  request: Pick<CertificateRequest, 'kind' | 'name' | 'hosts' | 'user'>,
  at = now,
) => {
  const { certPem, keyPem, serial } = await issueCertificate(by, { days: 1, ...request }, at);
  return { cert: certPem, key: keyPem, serial };
};
const guard = (name: string) => issued(root, { kind: 'guard', name });
const bad = {
  expired: await issued(root, { kind: 'guard', name: 'eve' }, now - 2 * day),
  revoked: await guard('eve'),
  stranger: await issued(stranger, { kind: 'guard', name: 'ada' }),
  service: await issued(root, { kind: 'service', name: 'gw', hosts: ['localhost'] }),
  signing: await issued(root, { kind: 'signing', name: 'ada' }),
};
const crl = await createCrl(root, [{ serial: bad.revoked.serial, at: now }], 30, now);

let folder: TemporaryFolder;
let fixture: GatewayFixture;
let accepting: Gateway;
let requiring: Gateway;
const telemetry = createTelemetry({ service: 'test', version: '0', env: {} });
const nodes: NativeNode[] = [];

beforeAll(async () => {
  folder = await temporaryFolder('certificates');
  const files = { 'client-ca': join(folder.path, 'root.pem'), 'client-crl': join(folder.path, 'crl.pem') };
  await writeFile(files['client-ca'], root.certPem);
  await writeFile(files['client-crl'], crl);
  fixture = await GatewayFixture.open(nats(), new ScriptedAggregator(), { tls: true });
  accepting = await fixture.gateway({ config: { 'client-certificates': 'accept' }, tls: files, telemetry });
  const config = { 'client-certificates': 'require', enrolment: 'registered' };
  requiring = await fixture.gateway({ config, tls: files });
});
afterAll(async () => {
  for (const node of nodes) node.close();
  await fixture.close();
  await folder.remove();
});

const showing = ({ target }: Gateway, client?: Certificate): Target => (client ? { ...target, client } : target);
const native = (gateway: Gateway, client?: Certificate, key?: NodeKey): NativeNode => {
  const node = new NativeNode(showing(gateway, client), key);
  nodes.push(node);
  return node;
};
/** The code that ended the stream of a node that says Hello; '' when it was welcomed. */
const greeted = async (node: NativeNode): Promise<string> => {
  const stream = node.open();
  try {
    stream.say(await node.hello(stream));
    await stream.next('welcome');
    return '';
  } catch {
    return stream.code();
  }
};

describe('a guard with a certificate of the federation', () => {
  it('needs no other registration, and is one node over all its streams', async () => {
    const ada = await guard('ada');
    const node = native(requiring, ada);
    const { nodeId } = await node.connect();
    expect((await node.connect()).nodeId).toBe(nodeId);
    expect((await native(accepting, ada, node.key).connect()).nodeId).toBe(nodeId);
  });

  it('stays the same node when its certificate is renewed', async () => {
    const node = native(requiring, await guard('bob'));
    const { nodeId } = await node.connect();
    expect((await native(requiring, await guard('bob'), node.key).connect()).nodeId).toBe(nodeId);
  });

  it('is a node of the user that its certificate names, by a pseudonym, until one names none', async () => {
    const unitKey = join(folder.path, 'unit.key');
    await writeFile(unitKey, `${'5a'.repeat(32)}\n`, { mode: 0o600 });
    const tls = { 'client-ca': join(folder.path, 'root.pem'), 'client-crl': join(folder.path, 'crl.pem') };
    const config = { 'client-certificates': 'require', 'unit-key-file': unitKey };
    const gateway = await fixture.gateway({ config, tls });
    const ending = new AbortController();
    const told = new Map<bigint, string[]>();
    const news = await gateway.bus.subscribe('presence', ending.signal);
    const heard = (async () => {
      for await (const { message } of news)
        for (const { nodeId, user } of message.nodes) told.set(nodeId, [...(told.get(nodeId) ?? []), user]);
    })().catch(() => {});
    const of = (name: string, user?: string) => issued(root, { kind: 'guard', name, ...(user && { user }) });
    const [one, other] = [native(gateway, await of('gil', 'house-a')), native(gateway, await of('hal', 'house-a'))];
    const ids = [(await one.connect()).nodeId, (await other.connect()).nodeId] as const;
    const user = await eventually(() => told.get(ids[0])?.[0] ?? expect.fail('not told'));
    expect(user).toMatch(/^[0-9a-f]{8}-[0-9a-f]{32}$/);
    await eventually(() => expect(told.get(ids[1])).toContain(user));
    await native(gateway, await of('gil'), one.key).connect();
    await eventually(() => expect(told.get(ids[0])?.at(-1)).toBe(''));
    ending.abort();
    await heard;
  });

  it('cannot be two nodes, nor another one, nor leave its certificate behind', async () => {
    const [cyd, dan] = [await guard('cyd'), await guard('dan')];
    const node = native(accepting, cyd);
    await node.connect();
    expect(await greeted(native(accepting, cyd))).toBe('CERTIFICATE_BOUND');
    expect(await greeted(native(accepting, dan, node.key))).toBe('CERTIFICATE_BOUND');
    expect(await greeted(native(accepting, undefined, node.key))).toBe('CERTIFICATE_REQUIRED');
  });

  it('cannot take over a node that came without one', async () => {
    const bare = native(accepting);
    await bare.connect();
    expect(await greeted(native(accepting, await guard('fay'), bare.key))).toBe('CERTIFICATE_BOUND');
  });

  it('speaks Flower as the same one node', async () => {
    const client = await guard('gus');
    const key = new NodeKey();
    for (const dialect of ['A', 'B', 'C'] as const) {
      const node = fixture.node(showing(requiring, client), dialect, key);
      expect(await node.start()).toBe(await fixture.node(showing(requiring, client), 'A', key).start());
      await expect(fixture.node(showing(requiring, client), dialect).start()).rejects.toThrow(/CERTIFICATE_BOUND/);
    }
  });
});

describe('a bare node', () => {
  it('works where certificates are accepted', async () => {
    await expect(native(accepting).connect()).resolves.toMatchObject({ nodeId: expect.any(BigInt) });
    await expect(fixture.node(accepting.target, 'A').start()).resolves.toBeTypeOf('bigint');
  });

  it('is refused where they are required, in every dialect, with the word that makes it leave', async () => {
    expect(await greeted(native(requiring))).toBe('CERTIFICATE_REQUIRED');
    const statuses = { A: 401, B: 16, C: 16 };
    for (const dialect of ['A', 'B', 'C'] as const) {
      const refused = await fixture
        .node(requiring.target, dialect)
        .start()
        .catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(Refused);
      expect(refused).toMatchObject({
        status: statuses[dialect],
        body: expect.stringContaining('CERTIFICATE_REQUIRED'),
      });
    }
  });

  it('is no operator: those have their token', async () => {
    const client = openClient(requiring.target);
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${TOKEN}`);
    const path = '/aegis.operator.v1.Operator/ListNodes';
    await expect(rawGrpc(client, path, Buffer.alloc(0), metadata)).resolves.toBeInstanceOf(Buffer);
    client.close();
  });
});

describe('a certificate that is not good', () => {
  const cases = [
    ['expired', 'CERTIFICATE_EXPIRED'],
    ['revoked', 'CERTIFICATE_REVOKED'],
    ['stranger', 'CERTIFICATE_UNTRUSTED'],
    ['service', 'CERTIFICATE_KIND'],
    ['signing', 'CERTIFICATE_KIND'],
  ] as const;

  it.each(cases)('%s: refused over gRPC and HTTP with %s, also where none is required', async (which, code) => {
    for (const gateway of [accepting, requiring]) {
      expect(await greeted(native(gateway, bad[which]))).toBe(code);
      const http = httpClient(showing(gateway, bad[which]));
      const refused = await http.call('register-node', Buffer.alloc(0), {}).catch((error: unknown) => error);
      expect(refused).toMatchObject({ status: 401, body: expect.stringContaining(code) });
      http.close();
    }
  });

  it('is counted by its reason', async () => {
    await greeted(native(accepting, bad.revoked));
    expect(await telemetry.renderMetrics()).toMatch(
      /aegis_gateway_refusals_total\{[^}]*code="CERTIFICATE_REVOKED"[^}]*\} [1-9]/,
    );
  });

  it('does not live on in a resumed session', async () => {
    const { host, port, ca = Buffer.alloc(0) } = accepting.target;
    const { cert, key } = await guard('ivy');
    const options = { host, port, servername: 'localhost', ca, cert, key, ALPNProtocols: ['http/1.1'] };
    const first = connect(options);
    first.write('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await once(first, 'data');
    const session = first.getSession();
    first.destroy();
    const second = connect({ ...options, ...(session && { session }) });
    await once(second, 'secureConnect');
    expect(second.isSessionReused()).toBe(false);
    second.destroy();
  });
});

it('a list of revocations that is out of date lets nobody in', async () => {
  const files = { 'client-ca': join(folder.path, 'root.pem'), 'client-crl': join(folder.path, 'old.pem') };
  await writeFile(files['client-crl'], await createCrl(root, [], 1, now - 2 * day));
  const late = await fixture.gateway({ config: { 'client-certificates': 'accept' }, tls: files });
  expect(await greeted(native(late, await guard('joy')))).toBe('CERTIFICATE_LIST_EXPIRED');
});

describe('certificates that change on disk', () => {
  const folderOf = async (name: string, files: Record<string, string>) => {
    const path = (file: string) => join(folder.path, `${name}-${file}`);
    const put = (file: string, content: string) => writeFile(path(file), content);
    for (const [file, content] of Object.entries(files)) await put(file, content);
    return { path, put };
  };
  const opened = async (name: string) => {
    const files = await folderOf(name, { 'ca.pem': root.certPem, 'crl.pem': await createCrl(root, [], 30, now) });
    const tls = { 'client-ca': files.path('ca.pem'), 'client-crl': files.path('crl.pem') };
    return { ...files, gateway: await fixture.gateway({ config: { 'client-certificates': 'accept' }, tls }) };
  };

  it('end the open connection of a node that was revoked, and of nobody else', async () => {
    const { put, gateway } = await opened('revoke');
    const [kit, lea] = [await guard('kit'), await guard('lea')];
    const gone = await native(gateway, kit).connect();
    const stays = await native(gateway, lea).connect();
    await put('crl.pem', await createCrl(root, [{ serial: kit.serial, at: now }], 30, now));
    await gone.stream.code();
    stays.stream.say({ $case: 'heartbeat', value: {} });
    await stays.stream.next('heartbeat');
    expect(await greeted(native(gateway, kit))).toBe('CERTIFICATE_REVOKED');
  });

  it('end the connections of an authority that is trusted no more', async () => {
    const { put, gateway } = await opened('authority');
    const { stream } = await native(gateway, await guard('max')).connect();
    await put('ca.pem', stranger.certPem);
    await put('crl.pem', await createCrl(stranger, [], 30, now));
    await stream.code();
    expect(await greeted(native(gateway, await issued(stranger, { kind: 'guard', name: 'nat' })))).toBe('');
  });

  it('change nothing while they cannot be used', async () => {
    const { put, gateway } = await opened('broken');
    const [ned, ora] = [await guard('ned'), await guard('ora')];
    const before = await native(gateway, ned).connect();
    const gone = await native(gateway, ora).connect();
    await put('ca.pem', 'no certificate');
    await put('crl.pem', 'no list');
    expect(await greeted(native(gateway, await guard('pia')))).toBe('');
    await put('ca.pem', root.certPem);
    await put('crl.pem', await createCrl(root, [{ serial: ora.serial, at: now }], 30, now));
    await gone.stream.code();
    before.stream.say({ $case: 'heartbeat', value: {} });
    await before.stream.next('heartbeat');
  });
});

it('the port agrees on keys that a later quantum computer does not open', async () => {
  const { host, port, ca = Buffer.alloc(0) } = accepting.target;
  const only = { ecdhCurve: 'X25519MLKEM768', minVersion: 'TLSv1.3' as const };
  const socket = connect({ host, port, servername: 'localhost', ca, ALPNProtocols: ['http/1.1'], ...only });
  await once(socket, 'secureConnect');
  expect(socket.getProtocol()).toBe('TLSv1.3');
  socket.destroy();
});
