import { X509Certificate } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { FakeClock, type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDevPki } from './dev-pki.ts';
import { readTls, type TlsFiles } from './tls-material.ts';

const day = 86_400_000;

describe('dev PKI', () => {
  let folder: TemporaryFolder;
  beforeEach(async () => {
    folder = await temporaryFolder('pki');
  });
  afterEach(() => folder.remove());

  it('issues leaves that prove a server and a client to each other', async () => {
    const pki = await openDevPki(folder.path);
    const server = await pki.issue({ name: 'gateway', hosts: ['aegis.example', '127.0.0.1', '::1'] });
    const client = await pki.issue({ name: 'guard-1' });
    for (const servername of ['aegis.example', '127.0.0.1']) {
      expect(await handshake(server, client, servername)).toEqual({ client: 'guard-1', server: 'gateway' });
    }
    await expect(handshake(server, client, 'other.example')).rejects.toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });

  it('dates the authority for ten years, leaves for one, both from five minutes ago', async () => {
    const clock = new FakeClock();
    const pki = await openDevPki(folder.path, clock);
    const leaf = await pki.issue({ name: 'gateway' });
    const days = async (file: string) => {
      const { validFromDate, validToDate } = new X509Certificate(await readFile(file));
      return [clock.now() - validFromDate.getTime(), (validToDate.getTime() - clock.now()) / day];
    };
    expect(await days(pki.ca)).toEqual([300_000, 3653]);
    expect(await days(leaf.cert)).toEqual([300_000, 365]);
  });

  it('makes a CA that may sign leaves only, and leaves that may sign nothing', async () => {
    const pki = await openDevPki(folder.path);
    const ca = new X509Certificate(await readFile(pki.ca));
    const leaf = new X509Certificate(await readFile((await pki.issue({ name: 'x' })).cert));
    expect([ca.ca, leaf.ca]).toEqual([true, false]);
    expect(leaf.verify(ca.publicKey)).toBe(true);
    expect(leaf.checkIssued(ca)).toBe(true);
    expect(leaf.subjectAltName).toBe('DNS:x');
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']); // server, client
  });

  it('keeps keys in 0600 files', async () => {
    const pki = await openDevPki(folder.path);
    const leaf = await pki.issue({ name: 'gateway' });
    for (const file of [join(folder.path, 'ca.key'), leaf.key]) expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('opens the same authority again', async () => {
    const first = await openDevPki(folder.path);
    const before = await readFile(first.ca, 'utf8');
    const second = await openDevPki(folder.path);
    expect(await readFile(second.ca, 'utf8')).toBe(before);
    expect(
      await handshake(await first.issue({ name: 'localhost' }), await second.issue({ name: 'b' }), 'localhost'),
    ).toEqual({
      client: 'b',
      server: 'localhost',
    });
  });

  it('starts over when creating the authority was cut short, and refuses one whose key is lost', async () => {
    await writeFile(join(folder.path, 'ca.key'), 'half');
    const pki = await openDevPki(folder.path);
    await pki.issue({ name: 'x' });
    const { rm } = await import('node:fs/promises');
    await rm(join(folder.path, 'ca.key'));
    await expect(openDevPki(folder.path)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

const handshake = async (serverFiles: TlsFiles, clientFiles: TlsFiles, servername: string) => {
  const server = createServer({ ...readTls(serverFiles), requestCert: true, rejectUnauthorized: true });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    const accepted = new Promise<TLSSocket>((resolve) => server.once('secureConnection', resolve));
    // SNI takes no addresses; checkServerIdentity does.
    const socket = connect({
      port,
      host: '127.0.0.1',
      ...(servername === '127.0.0.1' ? {} : { servername }),
      ...readTls(clientFiles),
    });
    await new Promise((resolve, reject) =>
      socket.once('secureConnect', () => resolve(undefined)).once('error', reject),
    );
    const peer = await accepted;
    const names = { client: peer.getPeerCertificate().subject.CN, server: socket.getPeerCertificate().subject.CN };
    socket.destroy();
    peer.destroy();
    return names;
  } finally {
    server.close();
  }
};
