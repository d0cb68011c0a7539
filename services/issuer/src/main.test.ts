// The issuer as a process of its own: whom it serves, and what is left of it after kill -9.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IssuerService } from '@aegis/contracts/aegis/issuer/v1/issuer';
import {
  createIssuer,
  createRoot,
  grpcChannel,
  noTelemetry,
  Revocations,
  readRoots,
  silentLogger,
} from '@aegis/service-kit';
import { eventually, freePort, type TemporaryFolder, type TestPki, temporaryFolder, testPki } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { issuerConfig, startIssuer } from './index.ts';
import { newKey, requestFor } from './testing/issuer.ts';

let folder: TemporaryFolder;
let pki: TestPki;
let port: number;
const children: ChildProcess[] = [];
const now = Date.now();
const root = await createRoot('hospitals', 3653, now);
const authority = await createIssuer(root, { name: 'edge', days: 90 }, now);
const csr = await requestFor(newKey());

beforeEach(async () => {
  folder = await temporaryFolder('issuer-process');
  pki = await testPki();
  port = await freePort();
  await writeFile(file('issuer.pem'), authority.certPem);
  await writeFile(file('issuer.key'), authority.keyPem, { mode: 0o600 });
  await writeFile(file('root.pem'), root.certPem);
  await writeFile(file('root.key'), root.keyPem, { mode: 0o600 });
});
afterEach(async () => {
  for (const child of children.splice(0)) await end(child);
  await pki.remove();
  await folder.remove();
});

const file = (name: string): string => join(folder.path, name);
const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
};
const start = async (): Promise<ChildProcess> => {
  const config = {
    issuer: { certificate: file('issuer.pem'), key: file('issuer.key'), 'state-dir': file('state') },
    listen: {
      address: `127.0.0.1:${port}`,
      tls: await pki.issue({ name: 'issuer', hosts: ['localhost'] }),
      callers: { 'aegis.issuer.v1.Issuer': ['gateway'] },
    },
  };
  await writeFile(file('config.yaml'), JSON.stringify(config));
  const args = [join(import.meta.dirname, 'main.ts'), '--config', file('config.yaml')];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  children.push(child);
  return child;
};
const channelAs = async (name: string) =>
  grpcChannel({ address: `127.0.0.1:${port}`, tls: await pki.material(name), serverName: 'localhost' });

describe('an issuer of its own', () => {
  it('serves the gateway and nobody else, and remembers through kill -9', async () => {
    const first = await start();
    const gateway = await channelAs('gateway');
    const guard = await channelAs('hospital-a');
    try {
      const issuer = gateway.client(IssuerService);
      const request = { name: 'ada', invitation: 'i1', csr };
      const { chain } = await eventually(() => issuer.issue(request));
      const stranger = guard.client(IssuerService);
      for (const ask of [
        () => stranger.issue(request),
        () => stranger.readList({}),
        () => stranger.revoke({ name: 'ada' }),
      ]) {
        await expect(ask()).rejects.toMatchObject({ code: 'CALLER_FORBIDDEN' });
      }
      expect(await issuer.revoke({ name: 'ada' })).toEqual({ found: true });
      await end(first);
      await start();
      const { crl, certificates } = await eventually(() => issuer.readList({}));
      const leaf = new Uint8Array(readRoots(chain)[0]?.raw ?? Buffer.alloc(0)) as Uint8Array<ArrayBuffer>;
      expect((await Revocations.read(crl)).has(leaf)).toBe(true);
      expect(certificates).toBe(authority.certPem);
      await expect(issuer.issue({ ...request, invitation: 'i2' })).rejects.toMatchObject({ code: 'ISSUER_REVOKED' });
    } finally {
      await gateway.close();
      await guard.close();
    }
  });

  it.each([
    ['the root itself', 'root.pem', 'root.key', /none of an issuer/],
    ['another key', 'issuer.pem', 'root.key', /is not the key/],
    ['a key as certificate', 'issuer.key', 'issuer.key', /PEM/],
    ['a file that is not there', 'nothing.pem', 'issuer.key', /cannot be read/],
  ])('does not start with %s', (_name, certificate, key, words) => {
    const config = issuerConfig.parse({ certificate: file(certificate), key: file(key), 'state-dir': file('state') });
    expect(() => startIssuer(config, { telemetry: noTelemetry, log: silentLogger })).toThrow(words);
  });

  it('does not start with a key that others may read', async () => {
    await chmod(file('issuer.key'), 0o640);
    const config = { certificate: file('issuer.pem'), key: file('issuer.key'), 'state-dir': file('state') };
    expect(() => startIssuer(issuerConfig.parse(config), { telemetry: noTelemetry, log: silentLogger })).toThrow(
      /chmod 600/,
    );
  });
});
