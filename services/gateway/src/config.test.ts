import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { loadConfig, parseConfig } from '@aegis/service-kit';
import { temporaryFolder } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { gatewayConfig, processConfig, readOperatorToken, readUnitKey, splitHostPort } from './config.ts';
import { connectionsPerAddress, defaultConnections } from './open-files.ts';

const parse = (text: string) => parseConfig(text, gatewayConfig, 'test');
const minimal = 'listen: 127.0.0.1:8000\ninsecure: true\nenrolment: open\n';

const idp = (issuer: string) => `{ issuer: '${issuer}', client-id: a, roles: { x: viewer } }`;

describe('configuration', () => {
  it('parses its own example', () => {
    const { gateway, nats, aggregator } = loadConfig(
      join(import.meta.dirname, '../config.example.yaml'),
      processConfig,
    );
    expect(gateway).toMatchObject({
      listen: '0.0.0.0:8000',
      insecure: false,
      enrolment: 'registered',
      'hold-seconds': 20,
      control: 'accounts',
    });
    expect(nats.servers).toHaveLength(1);
    expect(aggregator['server-name']).toBe('aggregator');
  });

  it('fills in what is left out', () => {
    expect(parse(minimal)).toMatchObject({
      'hold-seconds': 20,
      control: 'loopback',
      signatures: 'per-call',
      limits: { 'upload-mib': 24, connections: defaultConnections() },
    });
  });

  it('derives the limit of connections per address from the one of all, unless it is given', () => {
    const limitsOf = (limits: string) => parse(`${minimal}limits: { ${limits} }`).limits;
    expect(limitsOf('connections: 8000')['connections-per-address']).toBe(connectionsPerAddress(8_000));
    expect(limitsOf('connections-per-address: 7')['connections-per-address']).toBe(7);
  });

  it('has rates for every class, each of which may be given in part', () => {
    const { rates } = parse(`${minimal}limits: { rates: { calls: { caller: { burst: 7 } } } }`).limits;
    expect(rates.calls.caller).toEqual({ perSecond: 500, burst: 7 });
    expect(rates.calls.address).toEqual({ perSecond: 200, burst: 20_000 });
    expect(rates.connections.address.burst).toBe(20_000);
  });

  it.each([
    ['a rate of nothing', `${minimal}limits: { rates: { calls: { caller: { burst: 0 } } } }`, /burst/],
    [
      'a class that there is not',
      `${minimal}limits: { rates: { pulls: {} } }`,
      /limits.rates.pulls is not a known key/,
    ],
    ['a name for an address', `${minimal}limits: { unlimited-addresses: [balancer] }`, /unlimited-addresses/],
    ['an unknown key', `${minimal}hold-second: 3`, /hold-second is not a known key/],
    ['an unknown key below', `${minimal}limits: { upload-mb: 3 }`, /limits.upload-mb is not a known key/],
    ['neither TLS nor insecure', 'listen: 127.0.0.1:8000\nenrolment: open', /either tls or insecure/],
    ['both', `${minimal}tls: { cert: a, key: b }`, /either tls or insecure/],
    [
      'signatures per connection in plain text',
      `${minimal}signatures: per-connection`,
      /signatures: per-connection needs tls/,
    ],
    ['certificates asked for without an authority', `${minimal}client-certificates: accept`, /need tls.client-ca/],
    [
      'an authority of certificates that nobody asks for',
      'listen: 127.0.0.1:8000\nenrolment: open\ntls: { cert: a, key: b, client-ca: c }',
      /client-certificates: accept and require need/,
    ],
    ['an unknown enrolment', minimal.replace('open', 'anybody'), /enrolment/],
    ['an unknown control policy', `${minimal}control: lan`, /control/],
    [
      'accounts that nobody is asked for',
      `${minimal}accounts: ${idp('https://idp.example')}`,
      /control: accounts only/,
    ],
    ['accounts of nobody', `${minimal}control: accounts`, /needs an identity provider/],
    ...['http://idp.example', 'http://127.0.0.1.example', 'ftp://idp.example', 'idp.example'].map(
      (issuer): [string, string, RegExp] => [
        `an issuer at ${issuer}`,
        `${minimal}control: accounts\naccounts: ${idp(issuer)}`,
        /accounts.issuer/,
      ],
    ),
    [
      'accounts without a role',
      `${minimal}control: accounts\naccounts: { issuer: https://idp.example, client-id: a, roles: {} }`,
      /nobody could come in/,
    ],
    [
      'a role there is none of',
      `${minimal}control: accounts\naccounts: { issuer: https://idp.example, client-id: a, roles: { x: root } }`,
      /accounts.roles.x/,
    ],
    [
      'scopes without openid',
      `${minimal}control: accounts\naccounts: ${idp('https://idp.example').replace('{', '{ scopes: profile,')}`,
      /must have openid/,
    ],
    ['an address without a port', minimal.replace(':8000', ''), /listen: must be host:port/],
    ['a hold past the patience of clients', `${minimal}hold-seconds: 29`, /hold-seconds/],
  ])('refuses %s', (_name, text, complaint) => {
    expect(() => parse(text)).toThrow(complaint);
  });

  it('splits addresses, v6 ones too', () => {
    expect(splitHostPort('[::1]:80')).toEqual({ host: '::1', port: 80 });
    expect(splitHostPort('localhost:8000')).toEqual({ host: 'localhost', port: 8000 });
  });
});

async function folderToWrite() {
  const folder = await temporaryFolder('secrets');
  await mkdir(folder.path, { recursive: true });
  const write = async (name: string, text: string, mode: number) => {
    const file = join(folder.path, name);
    await writeFile(file, text, { mode });
    return file;
  };
  return { folder, write };
}

describe('unit key', () => {
  it('is 32 bytes in a file that only its owner can read, and does not print', async () => {
    const { folder, write } = await folderToWrite();
    await using _ = folder;
    const hex = '0a'.repeat(32);
    const key = readUnitKey(await write('good', `${hex}\n`, 0o600));
    expect(key.export()).toEqual(Buffer.from(hex, 'hex'));
    expect(inspect(key)).not.toContain('0a0a');
    for (const bad of [
      await write('open', hex, 0o640),
      await write('short', hex.slice(2), 0o600),
      await write('no-hex', 'x'.repeat(64), 0o600),
      join(folder.path, 'missing'),
    ]) {
      expect(() => readUnitKey(bad)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    }
  });
});

describe('operator token', () => {
  it('is read from a file that only its owner can read, and from no other', async () => {
    const { folder, write } = await folderToWrite();
    await using _ = folder;
    const token = readOperatorToken(await write('good', '0123456789abcdef0123\n', 0o600));
    expect(token.reveal()).toBe('0123456789abcdef0123');
    expect(`${token}`).toBe('[secret]');
    for (const bad of [
      await write('open', '0123456789abcdef0123', 0o644),
      await write('short', 'hello', 0o600),
      join(folder.path, 'missing'),
    ]) {
      expect(() => readOperatorToken(bad)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    }
  });
});
