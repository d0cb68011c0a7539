import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, type TemporaryFolder, temporaryFolder, withNats } from '@aegis/testkit';
import { approveLogin, OidcServer } from '@aegis/testkit/oidc-server';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { run } from '../../cli/src/program.ts';
import { keeping } from '../../cli/src/terminal.test-support.ts';
import { GatewayFixture } from '../../services/gateway/src/testing/gateway-fixture.ts';
import { ScriptedAggregator } from '../../services/gateway/src/testing/scripted-aggregator.ts';

// `aegis login` at a real identity provider, behind a real gateway over TLS; then other commands as whoever that was.

const nats = withNats();
const people = new Map<string, Record<string, unknown>>([
  ['u-ann', { preferred_username: 'ann', groups: ['audit'] }],
  ['u-eve', { preferred_username: 'eve', groups: [] }],
]);
let folder: TemporaryFolder;
let provider: OidcServer;
let fixture: GatewayFixture;
let where: string[];
let env: Record<string, string>;

beforeAll(async () => {
  folder = await temporaryFolder('log-in');
  provider = await OidcServer.start({ clientId: 'aegis', people });
  fixture = await GatewayFixture.open(nats(), new ScriptedAggregator(), { tls: true });
  await writeFile(join(folder.path, 'audit.key'), `${'3c'.repeat(32)}\n`, { mode: 0o600 });
  const accounts = { issuer: provider.issuer, 'client-id': 'aegis', roles: { audit: 'auditor' } };
  const { target } = await fixture.gateway({
    config: { control: 'accounts', accounts, 'audit-key-file': join(folder.path, 'audit.key') },
  });
  const ca = join(folder.path, 'ca.pem');
  await writeFile(ca, target.ca ?? '');
  where = ['--address', `localhost:${target.port}`, '--ca', ca];
  env = { AEGIS_HOME: join(folder.path, 'nothing'), XDG_CONFIG_HOME: join(folder.path, 'config') };
});
afterAll(async () => {
  await fixture.close();
  await provider.close();
  await folder.remove();
});

const begin = (...args: string[]) => {
  const [out, err] = [keeping(), keeping()];
  const code = run(args, { env, signal: new AbortController().signal, stdout: out.stream, stderr: err.stream });
  return { code, out: out.text, err: err.text };
};
const aegis = async (...args: string[]) => {
  const { code, out, err } = begin(...args, ...where);
  return { code: await code, out: out(), err: err() };
};
const logIn = async (subject: string) => {
  const started = begin('login', ...where);
  const page = await eventually(() => /https?:\S+/.exec(started.err())?.[0] ?? expect.fail('no page yet'));
  await approveLogin(page, subject);
  return { code: await started.code, out: started.out(), err: started.err() };
};
const file = () => join(folder.path, 'config', 'aegis', 'log-ins.json');

it('logs in once, and is known to every command until it logs out', async () => {
  expect(await aegis('audit', 'show')).toMatchObject({ code: 4, err: expect.stringContaining('aegis login') });
  expect(await logIn('u-ann')).toMatchObject({ code: 0, out: expect.stringContaining('Logged in at localhost:') });
  expect((await stat(file())).mode & 0o777).toBe(0o600);
  const shown = await aegis('audit', 'show');
  expect(shown).toMatchObject({ code: 0, out: expect.stringContaining('account ann') });
  expect(await aegis('nodes', 'remove', '7')).toMatchObject({
    code: 4,
    err: expect.stringContaining('ann, an auditor'),
  });

  // Hours later: renewed without a word, and kept.
  const before = JSON.parse(await readFile(file(), 'utf8'));
  const [address = ''] = Object.keys(before);
  const old = { ...before, [address]: { ...before[address], at: 0 } };
  await writeFile(file(), JSON.stringify(old), { mode: 0o600 });
  expect(await aegis('runs', 'ls')).toMatchObject({ code: 0 });
  const after = JSON.parse(await readFile(file(), 'utf8'));
  expect(after[address].at).toBeGreaterThan(0);
  expect(shown.out + shown.err).not.toContain(after[address].idToken);

  // Two commands at once renew it once: a refresh token works once.
  await writeFile(file(), JSON.stringify({ ...after, [address]: { ...after[address], at: 0 } }), { mode: 0o600 });
  const asked = provider.asked.get('/token') ?? 0;
  for (const { code } of await Promise.all([aegis('runs', 'ls'), aegis('nodes', 'ls')])) expect(code).toBe(0);
  expect(provider.asked.get('/token')).toBe(asked + 1);
  const newest = JSON.parse(await readFile(file(), 'utf8'));

  // The account was closed meanwhile.
  await provider.revoke(newest[address].refreshToken);
  await writeFile(file(), JSON.stringify({ [address]: { ...newest[address], at: 0 } }), { mode: 0o600 });
  expect(await aegis('runs', 'ls')).toMatchObject({ code: 4, err: expect.stringContaining('is over') });
  expect(await aegis('logout')).toMatchObject({ code: 0 });
  expect(JSON.parse(await readFile(file(), 'utf8'))).toEqual({});
});

it('keeps nothing of whoever has no role here, and says what is wrong with its own file', async () => {
  expect(await logIn('u-eve')).toMatchObject({ code: 4, err: expect.stringContaining('eve has no role here') });
  await mkdir(join(folder.path, 'config', 'aegis'), { recursive: true });
  await writeFile(file(), 'not a list');
  expect(await aegis('runs', 'ls')).toMatchObject({ code: 1, err: expect.stringContaining('Move it away') });
  await writeFile(file(), '{}');
});
