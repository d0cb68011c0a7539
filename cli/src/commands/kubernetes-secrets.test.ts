import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../program.ts';
import { keeping } from '../terminal.test-support.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-kubernetes-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const make = async (...more: string[]) => {
  const args = ['kubernetes', 'secrets', '--dir', folder, ...more];
  const code = await run(args, {
    ...{ stdout: keeping().stream, stderr: keeping().stream, env: {}, signal: new AbortController().signal },
  });
  const text = code === 0 ? await readFile(join(folder, 'secrets.json'), 'utf8') : '{"items":[]}';
  const items = JSON.parse(text).items as { metadata: { name: string }; stringData: Record<string, string> }[];
  return {
    code,
    names: items.map((one) => one.metadata.name),
    of: (name: string) => items.find((one) => one.metadata.name === name)?.stringData ?? {},
  };
};

describe('aegis kubernetes secrets', () => {
  it('gives every service a certificate by its own name, and the gateway one for nodes', async () => {
    const { of } = await make('--name', 'fl', '--namespace', 'learning', '--host', 'fl.example.org');
    for (const service of ['gateway', 'aggregator', 'secagg', 'privacy-accountant', 'issuer', 'nats']) {
      const { 'tls.crt': cert = '', 'ca.crt': ca = '' } = of(`fl-${service}-tls`);
      const leaf = new X509Certificate(cert);
      expect(leaf.verify(new X509Certificate(ca).publicKey), service).toBe(true);
      expect(leaf.checkHost(service)).toBe(service);
      expect(leaf.checkHost(`fl-${service}.learning.svc`)).toBeDefined();
    }
    const nats = new X509Certificate(of('fl-nats-tls')['tls.crt'] ?? '');
    expect(nats.checkHost('fl-nats-2.fl-nats-headless.learning.svc')).toBeDefined();
    const edge = new X509Certificate(of('fl-edge-tls')['tls.crt'] ?? '');
    expect(edge.checkHost('fl.example.org')).toBe('fl.example.org');
    expect(edge.checkIP('127.0.0.1')).toBe('127.0.0.1');
  });

  it('keeps what it made: another pseudonym key would give every unit a full budget again', async () => {
    const [before, after] = [await make(), await make()];
    for (const name of ['aegis-gateway-keys', 'aegis-nats-keys', 'aegis-secagg-tls'])
      expect(after.of(name)).toEqual(before.of(name));
    expect(before.of('aegis-gateway-keys')['unit.key']).toMatch(/^[0-9a-f]{64}$/);
    expect((await stat(join(folder, 'secrets.json'))).mode & 0o077).toBe(0);
  });

  it('issues again for a further name', async () => {
    const before = await make();
    const after = await make('--host', 'fl.example.org');
    expect(after.of('aegis-edge-tls')).not.toEqual(before.of('aegis-edge-tls'));
    expect(after.of('aegis-gateway-tls')).toEqual(before.of('aegis-gateway-tls'));
  });

  it('leaves certificates to cert-manager, which would take those that are there for its own', async () => {
    expect((await make('--keys-only')).names).toEqual(['aegis-gateway-keys', 'aegis-nats-keys']);
  });

  it('refuses a name that no object may have', async () => {
    expect((await make('--name', 'Aegis_1')).code).not.toBe(0);
  });
});
