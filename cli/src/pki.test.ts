import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureGatewayCertificate } from './pki.ts';

let folder: string;
const now = Date.now();
const day = 86_400_000;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-pki-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const leaf = async () => new X509Certificate(await readFile(join(folder, 'gateway.pem')));

describe('the development PKI', () => {
  it('is made once: authority and certificate stay as they are while they are good', async () => {
    const first = await ensureGatewayCertificate(folder, { san: [], now });
    const serial = (await leaf()).serialNumber;
    const again = await ensureGatewayCertificate(folder, { san: [], now });
    expect([first.issued, again.issued]).toEqual([true, false]);
    expect((await leaf()).serialNumber).toBe(serial);
    const authority = new X509Certificate(await readFile(first.ca));
    expect((await leaf()).verify(authority.publicKey)).toBe(true);
    for (const key of ['ca.key', 'gateway.key']) expect((await stat(join(folder, key))).mode & 0o077).toBe(0);
  });

  it('names loopback and this machine', async () => {
    await ensureGatewayCertificate(folder, { san: [], now });
    const certificate = await leaf();
    expect(certificate.checkHost('localhost')).toBe('localhost');
    expect(certificate.checkHost(hostname())).toBe(hostname());
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(certificate.checkIP('::1')).toBe('::1');
  });

  it('issues again for a further name, and keeps it when nobody asks for it again', async () => {
    await ensureGatewayCertificate(folder, { san: [], now });
    const authority = await readFile(join(folder, 'ca.pem'), 'utf8');
    const wider = await ensureGatewayCertificate(folder, { san: ['gateway.example', '192.0.2.7'], now });
    expect(wider.issued).toBe(true);
    expect(await readFile(join(folder, 'ca.pem'), 'utf8')).toBe(authority);
    const later = await ensureGatewayCertificate(folder, { san: [], now });
    expect(later.issued).toBe(false);
    expect((await leaf()).checkHost('gateway.example')).toBe('gateway.example');
    expect((await leaf()).checkIP('192.0.2.7')).toBe('192.0.2.7');
  });

  it('issues again when the certificate ends within a month, or on request', async () => {
    await ensureGatewayCertificate(folder, { san: [], now });
    expect((await ensureGatewayCertificate(folder, { san: [], now: now + 340 * day })).issued).toBe(true);
    expect((await ensureGatewayCertificate(folder, { san: [], now, renew: true })).issued).toBe(true);
  });

  it('issues again when the authority was replaced', async () => {
    await ensureGatewayCertificate(folder, { san: [], now });
    for (const file of ['ca.pem', 'ca.key']) await rm(join(folder, file));
    const { ca, issued } = await ensureGatewayCertificate(folder, { san: [], now });
    expect(issued).toBe(true);
    expect((await leaf()).verify(new X509Certificate(await readFile(ca)).publicKey)).toBe(true);
  });
});
