import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLogger, Secret } from '@aegis/service-kit';
import { eventually, FakeClock } from '@aegis/testkit';
import { approveLogin, OidcServer } from '@aegis/testkit/oidc-server';
import { SignJWT, UnsecuredJWT } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { OidcProvider } from './identity-provider.ts';

const people = new Map<string, Record<string, unknown>>([['u1', { preferred_username: 'ada', groups: ['fl-run'] }]]);
const lines: string[] = [];
const log = createLogger({ name: 'test', destination: { write: (line: string) => void lines.push(line) } });
let server: OidcServer;
beforeAll(async () => {
  server = await OidcServer.start({ clientId: 'aegis', clientSecret: 'a secret of the client', people });
});
afterAll(() => server.close());
afterEach(() => lines.splice(0));

const providerAt = (
  issuer: string,
  changes: { clientSecret?: Secret; tokenSeconds?: number } = {},
  clock = new FakeClock(),
) =>
  new OidcProvider(
    {
      ...{ issuer, clientId: 'aegis', clientSecret: new Secret('a secret of the client') },
      ...{ scopes: 'openid profile offline_access', tokenSeconds: 600, skewSeconds: 10, ...changes },
    },
    clock,
    log,
  );
const away = expect.objectContaining({ code: 'IDENTITY_PROVIDER_FAILED' });
const now = () => Math.floor(Date.now() / 1000);
const claims = () => ({ iss: server.issuer, aud: 'aegis', sub: 'u1', iat: now(), exp: now() + 60 });

const logIn = async (provider: OidcProvider) => {
  const { deviceCode, verificationUri } = await provider.beginLogin();
  await approveLogin(verificationUri, 'u1');
  const login = await provider.collect(deviceCode);
  return login.state === 'granted' ? login.tokens : expect.fail(login.state);
};

describe('a log-in at a real provider', () => {
  it('is pending until somebody approves it, and gives tokens once', async () => {
    const provider = providerAt(server.issuer);
    const { deviceCode, verificationUri, expiresIn, interval } = await provider.beginLogin();
    expect(verificationUri).toContain('user_code=');
    expect([expiresIn, interval]).toEqual([120, 5]);
    expect(await provider.collect(deviceCode)).toEqual({ state: 'pending' });
    await approveLogin(verificationUri, 'u1');
    const login = await provider.collect(deviceCode);
    if (login.state !== 'granted') expect.fail(login.state);
    expect(await provider.judge(login.tokens.idToken)).toMatchObject({ state: 'good', claims: { sub: 'u1' } });
    expect(await provider.collect(deviceCode)).toEqual({ state: 'refused', why: 'invalid_grant' });
  });

  it('is renewed with the claims of then, and not once it was taken back', async () => {
    const provider = providerAt(server.issuer);
    const first = await logIn(provider);
    people.set('u1', { preferred_username: 'ada', groups: ['fl-admin'] });
    const second = (await provider.renew(first.refreshToken, '192.0.2.1')) ?? expect.fail('not renewed');
    expect(await provider.judge(second.idToken)).toMatchObject({ claims: { groups: ['fl-admin'] } });
    await server.revoke(second.refreshToken);
    expect(await provider.renew(second.refreshToken, '192.0.2.1')).toBe(null);
    expect(await provider.renew('none', '192.0.2.1')).toBe(null);
  });

  it('cannot begin with the wrong secret, and nobody reads the right one in the log', async () => {
    await expect(providerAt(server.issuer, { clientSecret: new Secret('wrong') }).beginLogin()).rejects.toThrow(away);
    expect(lines.join('')).toContain('"status":401');
    expect(lines.join('')).not.toContain('secret of the client');
  });
});

describe('a provider that gives no address with the code in it', () => {
  it('is shown with the code at the end of its address', async () => {
    const plain = createServer((request, response) => {
      const issuer = `http://${request.headers.host}`;
      const description = {
        ...{ issuer, jwks_uri: `${issuer}/keys`, token_endpoint: `${issuer}/token` },
        device_authorization_endpoint: `${issuer}/device`,
      };
      const granted = {
        ...{ device_code: 'd', user_code: 'AB CD', verification_uri: 'https://idp.example/device', expires_in: 900 },
      };
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(request.url === '/device' ? granted : description));
    });
    await new Promise<void>((resolve) => void plain.listen(0, '127.0.0.1', resolve));
    const provider = providerAt(`http://127.0.0.1:${(plain.address() as AddressInfo).port}`);
    const { verificationUri, interval } = await provider.beginLogin();
    expect(verificationUri).toBe('https://idp.example/device#user_code=AB%20CD');
    expect(interval).toBe(5);
    plain.close();
  });
});

describe('an ID token', () => {
  const verdict = async (token: Promise<string> | string, tokenSeconds = 600) =>
    providerAt(server.issuer, { tokenSeconds }).judge(await token);

  it('counts, also with an audience beside us when it was made for us', async () => {
    expect(await verdict(server.sign(claims()))).toMatchObject({ state: 'good' });
    const both = { ...claims(), aud: ['aegis', 'other'], azp: 'aegis' };
    expect(await verdict(server.sign(both))).toMatchObject({ state: 'good' });
  });

  it('is over when it says so, or is older than we take, with room for clocks', async () => {
    expect(await verdict(server.sign({ ...claims(), exp: now() - 5 }))).toMatchObject({ state: 'good' });
    expect(await verdict(server.sign({ ...claims(), exp: now() - 30 }))).toEqual({ state: 'expired' });
    expect(await verdict(server.sign({ ...claims(), iat: now() - 700 }))).toEqual({ state: 'expired' });
    expect(await verdict(server.sign({ ...claims(), iat: now() - 700 }), 3_600)).toMatchObject({ state: 'good' });
  });

  const hmac = new TextEncoder().encode('a secret of the client');
  const bad: [string, () => Promise<string> | string][] = [
    ['for another audience', () => server.sign({ ...claims(), aud: 'other' })],
    ['for another client of two', () => server.sign({ ...claims(), aud: ['aegis', 'other'], azp: 'other' })],
    ['for two clients, and nobody says which', () => server.sign({ ...claims(), aud: ['aegis', 'other'] })],
    ['of another issuer', () => server.sign({ ...claims(), iss: 'https://idp.example' })],
    ['of another realm of the issuer', () => server.sign({ ...claims(), iss: `${server.issuer}/realms/other` })],
    ['without a subject', () => server.sign({ ...claims(), sub: undefined })],
    ['without an end', () => server.sign({ ...claims(), exp: undefined })],
    ['without a beginning', () => server.sign({ ...claims(), iat: undefined })],
    ['from the future', () => server.sign({ ...claims(), iat: now() + 300, exp: now() + 600 })],
    ['not good before then', () => server.sign({ ...claims(), nbf: now() + 300 })],
    ['that is an access token', () => server.sign(claims(), { typ: 'at+jwt' })],
    ['that is of a log-out', () => server.sign({ ...claims(), events: {} })],
    ['of algorithm none', () => new UnsecuredJWT(claims()).encode()],
    ['under the secret as a key', () => new SignJWT(claims()).setProtectedHeader({ alg: 'HS256' }).sign(hmac)],
    ['under a key of somebody else', () => server.sign(claims(), { kid: 'unheard-of' })],
    ['with its last letters changed', async () => `${(await server.sign(claims())).slice(0, -4)}AAAA`],
    ['that is none', () => 'aegis-token'],
    ['of three dots', () => '...'],
    ['of nothing', () => ''],
  ];
  it.each(bad)('%s counts for nothing', async (_name, make) => {
    expect((await verdict(await make())).state).toBe('bad');
  });

  it('counts under a new key at once, and no longer under the old one', async () => {
    const provider = providerAt(server.issuer);
    const old = await server.sign(claims());
    await server.rotateKeys();
    expect((await provider.judge(await server.sign(claims()))).state).toBe('good');
    expect((await provider.judge(old)).state).toBe('bad');
  });
});

describe('a provider', () => {
  it('that is away lets nobody in; one that comes back does', async () => {
    const other = await OidcServer.start({ clientId: 'aegis', people });
    const provider = providerAt(other.issuer);
    await other.close();
    await expect(provider.judge('a.b.c')).rejects.toThrow(away);
    await expect(provider.beginLogin()).rejects.toThrow(away);
    const back = await OidcServer.start({ clientId: 'aegis', people, port: other.port });
    expect((await provider.judge(await back.sign({ ...claims(), iss: back.issuer }))).state).toBe('good');
    await back.close();
    // its keys are at hand; to log in or to renew it is asked
    await expect(provider.beginLogin()).rejects.toThrow(away);
    await expect(provider.renew('some', '192.0.2.1')).rejects.toThrow(away);
  });

  const answers: [string, number, string][] = [
    ['is no provider', 404, 'nothing here'],
    ['fails', 500, '{}'],
    ['sends anything', 200, '<html>'],
    ['is another one than we asked', 200, '{"issuer":"https://idp.example"}'],
    ['sends us elsewhere', 302, ''],
  ];
  it.each(answers)('that %s is an error that says nothing of what it sent', async (_name, status, text) => {
    const strange = createServer((_request, response) => {
      response.writeHead(status, { 'content-type': 'application/json', location: server.issuer }).end(text);
    });
    await new Promise<void>((resolve) => void strange.listen(0, '127.0.0.1', resolve));
    const issuer = `http://127.0.0.1:${(strange.address() as AddressInfo).port}`;
    await expect(providerAt(issuer).judge('a.b.c')).rejects.toThrow(away);
    await expect(providerAt(issuer).beginLogin()).rejects.toThrow(/IDENTITY|identity/);
    strange.close();
  });

  it('that never ends its answer is an error, not our memory', async () => {
    const endless = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"issuer":"');
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, 'a')));
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    });
    await new Promise<void>((resolve) => void endless.listen(0, '127.0.0.1', resolve));
    const issuer = `http://127.0.0.1:${(endless.address() as AddressInfo).port}`;
    await expect(providerAt(issuer).beginLogin()).rejects.toThrow(away);
    endless.closeAllConnections();
    endless.close();
  });

  it('that is slow to renew is asked by one address a few times at once, and by others meanwhile', async () => {
    const held: (() => void)[] = [];
    const slow = createServer((request, response) => {
      const issuer = `http://${request.headers.host}`;
      const say = (content: unknown, status = 200) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(content));
      if (request.url === '/token') held.push(() => say({ error: 'invalid_grant' }, 400));
      else
        say({
          ...{ issuer, jwks_uri: `${issuer}/jwks`, token_endpoint: `${issuer}/token` },
          device_authorization_endpoint: `${issuer}/device`,
        });
    });
    await new Promise<void>((resolve) => void slow.listen(0, '127.0.0.1', resolve));
    const provider = providerAt(`http://127.0.0.1:${(slow.address() as AddressInfo).port}`);
    const asked = Array.from({ length: 4 }, () => provider.renew('guessed', '192.0.2.66'));
    await eventually(() => held.length === 4);
    await expect(provider.renew('guessed', '192.0.2.66')).rejects.toThrow(/from this address/);
    const honest = provider.renew('mine', '192.0.2.7');
    await eventually(() => held.length === 5);
    for (const answer of held) answer();
    expect(await Promise.all([...asked, honest])).toEqual([null, null, null, null, null]);
    const again = provider.renew('guessed', '192.0.2.66');
    await eventually(() => held.length === 6);
    held[5]?.();
    expect(await again).toBe(null);
    slow.close();
  });

  it('that strangers keep busy with log-ins still vouches for those who are in', async () => {
    const other = await OidcServer.start({ clientId: 'aegis', people });
    const held: (() => void)[] = [];
    const slow = createServer((request, response) => {
      const issuer = `http://${request.headers.host}`;
      const { url = '' } = request;
      const say = (content: unknown, status = 200) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(content));
      if (url === '/device') held.push(() => say({ error: 'access_denied' }, 400));
      else if (url === '/token') say({ error: 'invalid_grant' }, 400);
      else
        say({
          ...{ issuer, jwks_uri: `${other.issuer}/jwks`, token_endpoint: `${issuer}/token` },
          device_authorization_endpoint: `${issuer}/device`,
        });
    });
    await new Promise<void>((resolve) => void slow.listen(0, '127.0.0.1', resolve));
    const issuer = `http://127.0.0.1:${(slow.address() as AddressInfo).port}`;
    const clock = new FakeClock();
    const provider = providerAt(issuer, {}, clock);
    const strangers = Array.from({ length: 32 }, () => provider.beginLogin());
    await eventually(() => held.length === 32);
    await expect(provider.beginLogin()).rejects.toThrow(/Too many/);
    expect(await provider.renew('some', '192.0.2.1')).toBe(null);
    // its description is read again
    await clock.advance(3_600_000);
    expect((await provider.judge(await other.sign({ ...claims(), iss: issuer }))).state).toBe('good');
    for (const answer of held) answer();
    for (const stranger of strangers) await expect(stranger).rejects.toThrow(away);
    slow.close();
    await other.close();
  });
});
