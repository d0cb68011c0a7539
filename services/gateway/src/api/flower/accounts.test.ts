import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { join } from 'node:path';
import {
  GetAuthTokensRequest,
  GetAuthTokensResponse,
  GetLoginDetailsResponse,
  ListNodesResponse,
  ListRunsRequest,
  ListRunsResponse,
  RefreshAuthTokensRequest,
  RefreshAuthTokensResponse,
  RegisterNodeRequest,
  ShowFederationRequest,
  ShowFederationResponse,
  StartRunRequest,
  StartRunResponse,
  StopRunRequest,
  StopRunResponse,
} from '@aegis/contracts/flwr/proto/control';
import { createLogger, Secret } from '@aegis/service-kit';
import { eventually, type TemporaryFolder, temporaryFolder, withNats } from '@aegis/testkit';
import { approveLogin, OidcServer } from '@aegis/testkit/oidc-server';
import { Metadata } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DurableAuditStore } from '../../store/durable-audit.ts';
import { GatewayFixture, TOKEN } from '../../testing/gateway-fixture.ts';
import { NodeKey } from '../../testing/node-key.ts';
import { Operator } from '../../testing/operator.ts';
import { ScriptedAggregator } from '../../testing/scripted-aggregator.ts';
import { openClient, rawHttp } from '../../testing/wire-client.ts';

const nats = withNats();
const aggregator = new ScriptedAggregator();
const lines: string[] = [];
const log = createLogger({
  name: 'test',
  level: 'debug',
  destination: { write: (line: string) => void lines.push(line) },
});
const people = new Map<string, Record<string, unknown>>([
  ['u-vera', { preferred_username: 'vera', groups: ['fl-see'] }],
  ['u-ada', { preferred_username: 'ada', groups: ['staff', 'fl-run'] }],
  ['u-bob', { preferred_username: 'bob', groups: 'fl-run' }],
  ['u-amy', { preferred_username: 'amy', groups: ['fl-admin'] }],
  ['u-olga', { preferred_username: 'olga', groups: ['fl-audit'] }],
  ['u-eve', { preferred_username: 'eve', groups: ['staff', 'admin'] }],
]);
let folder: TemporaryFolder;
let provider: OidcServer;
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
let config: Record<string, unknown>;

beforeAll(async () => {
  folder = await temporaryFolder('accounts');
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
  const operators = [{ name: 'robot', role: 'runner', sha256: sha256('robots-own-token') }];
  await writeFile(join(folder.path, 'operators.json'), JSON.stringify({ operators }), { mode: 0o600 });
  await writeFile(join(folder.path, 'audit.key'), `${'3c'.repeat(32)}\n`, { mode: 0o600 });
  await writeFile(join(folder.path, 'secret'), 'of-the-client\n', { mode: 0o600 });
  provider = await OidcServer.start({ clientId: 'aegis', clientSecret: 'of-the-client', people });
  fixture = await GatewayFixture.open(nats(), aggregator, { tls: true });
  config = {
    enrolment: 'registered',
    control: 'accounts',
    accounts: {
      ...{ issuer: provider.issuer, 'client-id': 'aegis', 'client-secret-file': join(folder.path, 'secret') },
      roles: { 'fl-see': 'viewer', 'fl-run': 'runner', 'fl-admin': 'admin', 'fl-audit': 'auditor' },
      'clock-skew-seconds': 0,
    },
    'operators-file': join(folder.path, 'operators.json'),
    'audit-key-file': join(folder.path, 'audit.key'),
  };
  gateway = await fixture.gateway({ config, log });
});
afterAll(async () => {
  await fixture.close();
  await provider.close();
  await folder.remove();
});

const nothing = new Uint8Array();
/** As commands of 1.39 and newer do it. */
const overHttp = (method: string, body: Uint8Array = nothing, token = '') =>
  rawHttp(gateway.target, undefined, {
    path: `/v1/control/${method}`,
    body,
    headers: {
      'content-type': 'application/protobuf',
      'flwr-package-version': '1.41.0',
      ...(token !== '' && { authorization: `Bearer ${token}` }),
    },
  });
/** As commands up to 1.36 do it: both tokens each time; new ones come in the head of the answer. */
const overGrpc = (rpc: string, tokens: { access: string; refresh: string }) =>
  new Promise<{ head: Metadata; body: Buffer }>((resolve, reject) => {
    const client = openClient(gateway.target);
    const metadata = new Metadata();
    metadata.set('flwr-oidc-access-token', tokens.access);
    metadata.set('flwr-oidc-refresh-token', tokens.refresh);
    const same = (bytes: Buffer) => bytes;
    let head = new Metadata();
    const call = client.makeUnaryRequest(
      ...([`/flwr.proto.Control/${rpc}`, same, same, Buffer.alloc(0), metadata] as const),
      (error, body) => {
        client.close();
        if (error || body === undefined) reject(error);
        else resolve({ head, body });
      },
    );
    call.on('metadata', (received) => {
      head = received;
    });
  });

const request = {
  start: StartRunRequest.encode({
    ...StartRunRequest.decode(nothing),
    fab: { hashStr: '', content: Buffer.from('a bundle'), verifications: {} },
  }).finish(),
  stop: (runId: bigint) => StopRunRequest.encode({ runId }).finish(),
  list: ListRunsRequest.encode(ListRunsRequest.decode(nothing)).finish(),
  register: () =>
    RegisterNodeRequest.encode({
      ...RegisterNodeRequest.decode(nothing),
      publicKey: new NodeKey().publicKeyPem,
    }).finish(),
};

const begin = async () => GetLoginDetailsResponse.decode(await overHttp('get-login-details'));
const collect = async (deviceCode: string) =>
  GetAuthTokensResponse.decode(await overHttp('get-auth-tokens', GetAuthTokensRequest.encode({ deviceCode }).finish()));
const logIn = async (subject: string) => {
  const { deviceCode, verificationUriComplete } = await begin();
  await approveLogin(verificationUriComplete, subject);
  return collect(deviceCode);
};
const renew = async (refreshToken: string) =>
  RefreshAuthTokensResponse.decode(
    await overHttp('refresh-auth-tokens', RefreshAuthTokensRequest.encode({ refreshToken }).finish()),
  );
const forbidden = expect.objectContaining({ status: 403, body: expect.stringContaining('ACCOUNT_FORBIDDEN') });
const unknown = expect.objectContaining({ status: 401, body: expect.stringContaining('ACCOUNT_UNAUTHENTICATED') });

describe('the flwr command with accounts', () => {
  it('does as the roles of its account allow', async () => {
    const vera = (await logIn('u-vera')).accessToken;
    expect(ListRunsResponse.decode(await overHttp('list-runs', request.list, vera)).runDict.size).toBe(0);
    expect(ListNodesResponse.decode(await overHttp('list-nodes', nothing, vera)).nodesInfo).toEqual([]);
    for (const [method, body] of [
      ['start-run', request.start],
      ['stop-run', request.stop(1n)],
      ['register-node', request.register()],
      ['unregister-node', nothing],
    ] as const)
      await expect(overHttp(method, body, vera)).rejects.toThrow(forbidden);
    const amy = (await logIn('u-amy')).accessToken;
    await overHttp('register-node', request.register(), amy);
    const federation = ShowFederationRequest.encode({ federationName: '@none/default' }).finish();
    const shown = ShowFederationResponse.decode(await overHttp('show-federation', federation, vera));
    expect(shown.federation?.nodes).toHaveLength(1);
  });

  it('stops the runs of its own account, unless it is an admin’s', async () => {
    const [ada, bob, amy] = await Promise.all(
      ['u-ada', 'u-bob', 'u-amy'].map(async (who) => (await logIn(who)).accessToken),
    );
    await overHttp('start-run', request.start, ada);
    const { runDict } = ListRunsResponse.decode(await overHttp('list-runs', request.list, bob));
    const [[runId, run] = expect.fail('no run')] = runDict;
    expect(run).toMatchObject({ flwrAid: 'oidc:u-ada', accountName: 'ada' });
    await expect(overHttp('stop-run', request.stop(runId), bob)).rejects.toThrow(forbidden);
    expect(StopRunResponse.decode(await overHttp('stop-run', request.stop(runId), ada)).success).toBe(true);
    await overHttp('start-run', request.start, ada);
    expect(StopRunResponse.decode(await overHttp('stop-run', request.stop(runId), amy)).success).toBe(true);
  });

  it('may show an operator’s token instead', async () => {
    await overHttp('start-run', request.start, 'robots-own-token');
    const { runDict } = ListRunsResponse.decode(await overHttp('list-runs', request.list, TOKEN));
    const [[runId, run] = expect.fail('no run')] = runDict;
    expect(run).toMatchObject({ flwrAid: 'token:robot', accountName: 'robot' });
    await expect(overHttp('register-node', request.register(), 'robots-own-token')).rejects.toThrow(forbidden);
    await overHttp('stop-run', request.stop(runId), TOKEN);
  });

  it('is nobody without one, on this machine too', async () => {
    for (const token of ['', 'robots-other-token', 'a.b.c', 'x'.repeat(12_000)]) {
      await expect(overHttp('list-runs', request.list, token)).rejects.toThrow(unknown);
      await expect(overHttp('stream-logs', nothing, token)).rejects.toThrow(unknown);
    }
    await expect(overGrpc('ListRuns', { access: '', refresh: '' })).rejects.toMatchObject({ code: 16 });
  });
});

describe('a log-in', () => {
  it('waits until it is approved, and is refused to whoever has no role here', async () => {
    const { deviceCode, verificationUriComplete } = await begin();
    expect(await collect(deviceCode)).toEqual({ accessToken: '', refreshToken: '' });
    await approveLogin(verificationUriComplete, 'u-eve');
    const refused = expect.objectContaining({ status: 403, body: expect.stringContaining('eve has no role here') });
    await expect(collect(deviceCode)).rejects.toThrow(refused);
    const over = expect.objectContaining({ status: 403, body: expect.stringContaining('LOGIN_REFUSED') });
    await expect(collect('a-code-of-nobody')).rejects.toThrow(over);
  });

  it('is renewed by commands over HTTP, with the roles of then', async () => {
    const first = await logIn('u-vera');
    people.set('u-vera', { preferred_username: 'vera', groups: ['fl-run'] });
    const second = await renew(first.refreshToken);
    await overHttp('start-run', request.start, second.accessToken);
    people.set('u-vera', { preferred_username: 'vera', groups: [] });
    const third = await renew(second.refreshToken);
    await expect(overHttp('list-runs', request.list, third.accessToken)).rejects.toThrow(forbidden);
    await provider.revoke(third.refreshToken);
    await expect(renew(third.refreshToken)).rejects.toThrow(unknown);
    await expect(renew('')).rejects.toThrow(unknown);
  });

  it('is renewed here for commands over gRPC, which get their new tokens with the answer', async () => {
    const { accessToken, refreshToken } = await logIn('u-bob');
    const now = Math.floor(Date.now() / 1000);
    const over = await provider.sign({
      ...{ iss: provider.issuer, aud: 'aegis', sub: 'u-bob', iat: now - 100, exp: now - 50 },
    });
    const good = await overGrpc('ListRuns', { access: accessToken, refresh: refreshToken });
    expect(good.head.get('flwr-oidc-access-token')).toEqual([]);
    const renewed = await overGrpc('ListRuns', { access: over, refresh: refreshToken });
    const [access, refresh] = ['access', 'refresh'].map((kind) =>
      String(renewed.head.get(`flwr-oidc-${kind}-token`)[0]),
    );
    expect(access).not.toBe(over);
    await overGrpc('ListRuns', { access: access ?? '', refresh: refresh ?? '' });
    await expect(overGrpc('ListRuns', { access: over, refresh: 'none' })).rejects.toMatchObject({ code: 16 });
    // somebody else's token asks the provider nothing
    const before = provider.asked.get('/token');
    await expect(overGrpc('ListRuns', { access: 'a.b.c', refresh: refreshToken })).rejects.toMatchObject({ code: 16 });
    expect(provider.asked.get('/token')).toBe(before);
  });

  it('leaves its traces in the audit log, and no token anywhere', async () => {
    const { accessToken, refreshToken } = await logIn('u-bob');
    const again = await renew(refreshToken);
    await expect(overHttp('register-node', request.register(), accessToken)).rejects.toThrow(forbidden);
    const store = await DurableAuditStore.open(gateway.bus, new Secret('3c'.repeat(32)));
    const read = async () => {
      const all = [];
      for await (const entry of store.read(0)) all.push(entry);
      return all.filter(({ actor }) => actor.startsWith('account bob at 127.0.0.1'));
    };
    await eventually(async () => (await read()).some(({ event }) => event === 'account-refused'));
    const entries = await read();
    for (const expected of [
      { event: 'account-logged-in', subject: 'account oidc:u-bob', detail: 'runner' },
      { event: 'account-renewed', subject: 'account oidc:u-bob', detail: 'runner' },
      { event: 'account-refused', subject: 'manage-nodes', detail: 'runner' },
    ])
      expect(entries).toContainEqual(expect.objectContaining(expected));
    const everything =
      lines.join('') + JSON.stringify(entries, (_key, value) => (typeof value === 'bigint' ? '' : value));
    for (const secret of [
      accessToken,
      refreshToken,
      again.accessToken,
      again.refreshToken,
      'of-the-client',
      'robots-own',
    ])
      expect(everything).not.toContain(secret);
  });
});

describe('the operator’s door', () => {
  const operated = async <T>(token: string, work: (operator: Operator) => Promise<T>): Promise<T> => {
    const operator = new Operator(gateway.target, token);
    return work(operator).finally(() => operator.close());
  };

  it('opens to accounts, as far as their roles go, and writes down who it was', async () => {
    const amy = (await logIn('u-amy')).accessToken;
    const publicKey = new NodeKey().publicKeyPem;
    const { nodeId } = await operated(amy, (operator) => operator.call('approveNode', { publicKey, name: 'site' }));
    const olga = (await logIn('u-olga')).accessToken;
    const nodes = await operated(olga, (operator) => operator.call('listNodes', {}));
    expect(nodes.nodes.map((node) => node.nodeId)).toContain(nodeId);
    await expect(operated(olga, (operator) => operator.call('removeNode', { nodeId }))).rejects.toMatchObject({
      code: 'OPERATOR_FORBIDDEN',
      message: expect.stringContaining('olga, an auditor'),
    });
    const store = await DurableAuditStore.open(gateway.bus, new Secret('3c'.repeat(32)));
    const entries = [];
    for await (const entry of store.read(0)) entries.push(entry);
    expect(entries).toContainEqual(
      expect.objectContaining({ event: 'node-approved', actor: 'account amy', subject: `node ${nodeId}` }),
    );
  });

  it('lets a runner stop the runs of its own account, and an admin any', async () => {
    const [ada, bob, amy] = await Promise.all(
      ['u-ada', 'u-bob', 'u-amy'].map(async (who) => (await logIn(who)).accessToken),
    );
    const started = async () => StartRunResponse.decode(await overHttp('start-run', request.start, ada)).runId ?? 0n;
    const stop = (token: string, runId: bigint) => operated(token, (operator) => operator.call('stopRun', { runId }));
    const first = await started();
    await expect(stop(bob ?? '', first)).rejects.toMatchObject({
      code: 'OPERATOR_FORBIDDEN',
      message: expect.stringContaining('the run of ada'),
    });
    await stop(ada ?? '', first);
    await stop(amy ?? '', await started());
  });

  it('stays shut for tokens that are over, forged, or of nobody, and takes a large message from who is judged first', async () => {
    const now = Math.floor(Date.now() / 1000);
    const over = await provider.sign({
      ...{ iss: provider.issuer, aud: 'aegis', sub: 'u-amy', iat: now - 100, exp: now - 50 },
    });
    const content = Buffer.alloc(3 * 2 ** 20);
    const large = { name: 'large', format: 'npz', content };
    for (const token of [over, `${over}x`, 'a.b.c', 'x'.repeat(7_000)])
      await expect(operated(token, (operator) => operator.call('importModel', large))).rejects.toMatchObject({
        code: 'OPERATOR_UNAUTHENTICATED',
      });
    const amy = (await logIn('u-amy')).accessToken;
    const imported = await operated(amy, (operator) => operator.call('importModel', large));
    expect(imported.bytes).toBe(BigInt(content.byteLength));
  });
});

describe('without its identity provider', () => {
  it('a gateway starts, lets operators’ tokens in and nobody else, and says why', async () => {
    const gone = await OidcServer.start({ clientId: 'aegis', people });
    await gone.close();
    const accounts = { ...(config.accounts as object), issuer: gone.issuer };
    const alone = await fixture.gateway({ config: { ...config, accounts } });
    const ask = (path: string, token: string) =>
      rawHttp(alone.target, undefined, {
        path: `/v1/control/${path}`,
        body: nothing,
        headers: { 'content-type': 'application/protobuf', authorization: `Bearer ${token}` },
      });
    const away = expect.objectContaining({ status: 503, body: expect.stringContaining('IDENTITY_PROVIDER_FAILED') });
    await expect(ask('get-login-details', '')).rejects.toThrow(away);
    await expect(ask('list-runs', 'a.b.c')).rejects.toThrow(away);
    await ask('list-runs', TOKEN);
  });

  it('there is nothing to log in at, and the command is told what to do instead', async () => {
    const { accounts: _, ...without } = config;
    const tokens = await fixture.gateway({ config: without });
    const call = rawHttp(tokens.target, undefined, {
      path: '/v1/control/get-login-details',
      body: nothing,
      headers: { 'content-type': 'application/protobuf' },
    });
    const told = expect.objectContaining({ status: 501, body: expect.stringContaining('LOGIN_NOT_OFFERED') });
    await expect(call).rejects.toThrow(told);
  });
});

describe('while strangers of many addresses use up what strangers have', () => {
  // gateways on one NATS tell each other what an address has used
  const alone = withNats();

  it('an account goes on from where it was let in before', async () => {
    const few = { 'per-second': 0.001, burst: 20 };
    const own = await GatewayFixture.open(alone(), aggregator, { tls: true });
    const { target } = await own.gateway({
      config: { ...config, limits: { rates: { control: { address: few } } } },
    });
    const listRuns = async (token: string, localAddress: string) => {
      const agent = new Agent({ localAddress });
      const headers = { 'content-type': 'application/protobuf', authorization: `Bearer ${token}` };
      return rawHttp(target, agent, { path: '/v1/control/list-runs', body: nothing, headers })
        .then(
          () => 200,
          (error: { status: number }) => error.status,
        )
        .finally(() => agent.destroy());
    };
    expect(await listRuns(TOKEN, '127.0.0.1')).toBe(200);
    // all of them together have what five addresses have
    for (const host of [2, 3, 4, 5, 6])
      for (let count = 0; count < 20; count += 1) await listRuns('of nobody', `127.0.0.${host}`);
    expect(await listRuns(TOKEN, '127.0.0.7')).toBe(503);
    expect(await listRuns(TOKEN, '127.0.0.1')).toBe(200);
    await own.close();
  });
});
