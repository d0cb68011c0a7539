import { createHash } from 'node:crypto';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AegisError } from '@aegis/errors';
import {
  certifyGuard,
  createIssuer,
  createRoot,
  type FederationCertificate,
  readRoots,
  readSigningRequest,
  silentLogger,
} from '@aegis/service-kit';
import { eventually, FakeClock, type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AuditEvent } from '../domain/audit.ts';
import type { EnrolmentPeer } from '../peers/contract.ts';
import type { IdentityStore } from '../store/contract.ts';
import { IdentityFiles } from '../store/identity-files.ts';
import { type CertificateGround, keepCertificate, type OwnCertificate, ownCertificate } from './own-certificate.ts';

const day = 86_400_000;
const clock = new FakeClock();
const root = await createRoot('hospitals', 3653, clock.now());
const issuer = await createIssuer(root, { name: 'edge', days: 90 }, clock.now());
const code = (wanted: string) => ({ code: wanted });

/** Gives one certificate for the token, to the first key that comes with it, like the gateway and the issuer behind it. */
class Server implements EnrolmentPeer {
  readonly asked: string[] = [];
  /** Thrown instead of an answer, one each; `lost`: after it was acted upon. */
  failures: (AegisError | 'lost')[] = [];
  by: FederationCertificate = issuer;
  #owner = '';
  #chain = '';

  async enrol(invitation: string, csr: Uint8Array): Promise<string> {
    this.asked.push(invitation);
    return this.#answer(csr, () => this.#chain);
  }

  async renew(csr: Uint8Array): Promise<string> {
    this.asked.push('renew');
    return this.#answer(csr, () => '');
  }

  async #answer(csr: Uint8Array, known: () => string): Promise<string> {
    const failure = this.failures.shift();
    if (failure instanceof AegisError) throw failure;
    const spki = await readSigningRequest(csr);
    const key = createHash('sha256').update(spki).digest('hex');
    if (this.#owner !== '' && this.#owner !== key) throw new AegisError('INVITATION_REFUSED');
    this.#owner = key;
    const made = await certifyGuard(this.by, { name: 'ada', spki, seconds: 7 * 86_400 }, clock.now());
    this.#chain = known() || `${made.certPem}${this.by.certPem}`;
    if (failure === 'lost') throw new AegisError('UNAVAILABLE');
    return this.#chain;
  }
}

let folder: TemporaryFolder;
let server: Server;
let ending: AbortController;
let audited: AuditEvent[];
let said: string[];
beforeEach(async () => {
  folder = await temporaryFolder('identity');
  server = new Server();
  ending = new AbortController();
  audited = [];
  said = [];
});
afterEach(async () => {
  ending.abort(new Error('the test ends'));
  await folder.remove();
});

const ground = (changes: Partial<CertificateGround> = {}): CertificateGround => ({
  identity: new IdentityFiles(folder.path),
  ...{ server, roots: readRoots(root.certPem), ca: Buffer.from('ca'), clock, chance: () => 0.5, log: silentLogger },
  audit: { write: (event: AuditEvent) => void audited.push(event) } as CertificateGround['audit'],
  say: (line) => void said.push(line),
  ending: ending.signal,
  ...changes,
});
const file = (name: string) => join(folder.path, 'identity', name);

describe('a guard with an invitation', () => {
  it('makes its key, for its owner alone, and takes the certificate for it', async () => {
    const { tls, life } = await ownCertificate(ground(), 'token');
    expect(life).toMatchObject({ name: 'ada' });
    expect((await stat(file('node.key'))).mode & 0o777).toBe(0o600);
    expect(await readFile(file('node.key'))).toEqual(tls.key);
    expect(await readFile(file('node.pem'))).toEqual(tls.cert);
    expect(audited).toEqual([expect.objectContaining({ event: 'certificate', how: 'enrolled', name: 'ada' })]);
    expect([...said, JSON.stringify(audited)].join()).not.toContain('token');
  });

  it('goes by the certificate it has from then on, and asks nobody', async () => {
    const first = await ownCertificate(ground(), 'token');
    expect(await ownCertificate(ground(), undefined)).toEqual(first);
    expect(await ownCertificate(ground(), 'another')).toEqual(first);
    expect(server.asked).toEqual(['token']);
  });

  it.each([
    'before the key is written',
    'after the key is written',
    'before the chain is written',
    'after the chain is written',
  ])('killed %s, comes to the same certificate', async (when) => {
    const [moment = '', , what = ''] = when.split(' ');
    const files = new IdentityFiles(folder.path);
    const dying = async (name: string, write: () => Promise<void>) => {
      if (name === what && moment === 'before') throw new Error('killed');
      await write();
      if (name === what) throw new Error('killed');
    };
    const identity: IdentityStore = {
      ...{ key: () => files.key(), chain: () => files.chain() },
      keepKey: (pem) => dying('key', () => files.keepKey(pem)),
      keepChain: (pem) => dying('chain', () => files.keepChain(pem)),
    };
    await expect(ownCertificate(ground({ identity }), 'token')).rejects.toThrow('killed');
    const again = await ownCertificate(ground(), 'token');
    expect(again.life.name).toBe('ada');
    expect(await ownCertificate(ground(), undefined)).toEqual(again);
  });

  it('whose answer was lost asks again with the same key, and gets it', async () => {
    server.failures = ['lost', new AegisError('UNAVAILABLE'), 'lost'];
    const taken = ownCertificate(ground(), 'token');
    await eventually(async () => {
      await clock.advance(30_000);
      expect(server.asked).toHaveLength(4);
    });
    expect((await taken).life.name).toBe('ada');
    expect(said.filter((line) => line.includes('trying again'))).toHaveLength(3);
  });

  it('that another key has used already is refused, and keeps its own for another invitation', async () => {
    await ownCertificate(ground(), 'token');
    const other = await temporaryFolder('identity');
    const theirs = ground({ identity: new IdentityFiles(other.path) });
    await expect(ownCertificate(theirs, 'token')).rejects.toMatchObject(code('INVITATION_REFUSED'));
    expect(await new IdentityFiles(other.path).chain()).toBeNull();
    expect(await new IdentityFiles(other.path).key()).toContain('PRIVATE KEY');
    await other.remove();
  });

  it('takes no certificate that its own root does not stand above', async () => {
    const stranger = await createRoot('hospitals', 3653, clock.now());
    server.by = await createIssuer(stranger, { name: 'edge', days: 9 }, clock.now());
    await expect(ownCertificate(ground(), 'token')).rejects.toMatchObject(code('CERTIFICATE_HANDED'));
    expect(await new IdentityFiles(folder.path).chain()).toBeNull();
  });

  it('uses no certificate on disk that was exchanged, nor a key that others may read', async () => {
    await ownCertificate(ground(), 'token');
    await writeFile(file('node.pem'), root.certPem);
    await expect(ownCertificate(ground(), undefined)).rejects.toMatchObject(code('GUARD_CERTIFICATE'));
    await chmod(file('node.key'), 0o640);
    await expect(ownCertificate(ground(), undefined)).rejects.toMatchObject(code('CONFIG_INVALID'));
  });

  it('that comes back after its certificate has ended takes another invitation, with the key it has', async () => {
    const first = await ownCertificate(ground(), 'token');
    await clock.advance(8 * day);
    await expect(ownCertificate(ground(), undefined)).rejects.toMatchObject(code('GUARD_CERTIFICATE'));
    server = new Server();
    const second = await ownCertificate(ground(), 'another');
    expect(second.tls.key).toEqual(first.tls.key);
    expect(second.life.notAfter).toBeGreaterThan(first.life.notAfter);
  });

  it('says that it needs one', async () => {
    await expect(ownCertificate(ground(), undefined)).rejects.toMatchObject(code('CONFIG_INVALID'));
  });
});

describe('a certificate', () => {
  const kept = (own: OwnCertificate, used: Buffer[] = []) => {
    const keeping = keepCertificate(ground(), own, ({ cert }) => void used.push(cert));
    keeping.catch(() => {});
    return used;
  };

  it('is followed by the next when two thirds of it are over, again and again, for the same key', async () => {
    const own = await ownCertificate(ground(), 'token');
    const used = kept(own);
    for (let renewals = 1; renewals <= 3; renewals += 1) {
      await clock.advance(4.6 * day);
      expect(used).toHaveLength(renewals - 1);
      await eventually(async () => {
        await clock.advance(0.1 * day);
        expect(used).toHaveLength(renewals);
      });
      expect(await readFile(file('node.pem'))).toEqual(used.at(-1));
    }
    const now = await ownCertificate(ground(), undefined);
    expect(now.tls.key).toEqual(own.tls.key);
    expect(now.life.notAfter).toBeGreaterThan(own.life.notAfter + 13 * day);
    expect(audited.filter(({ event }) => event === 'certificate')).toHaveLength(4);
  });

  it('is asked for until there is one, and is used meanwhile', async () => {
    const own = await ownCertificate(ground(), 'token');
    server.failures = [new AegisError('UNAVAILABLE'), new AegisError('ISSUER_REVOKED'), 'lost'];
    const used = kept(own);
    await eventually(async () => {
      await clock.advance(0.1 * day);
      expect(used).toHaveLength(1);
    });
    expect(server.asked).toEqual(['token', 'renew', 'renew', 'renew', 'renew']);
    expect(said.filter((line) => line.includes('not renewed'))).toHaveLength(1);
  });

  it('is not exchanged for one of a strange root', async () => {
    const own = await ownCertificate(ground(), 'token');
    const stranger = await createRoot('hospitals', 3653, clock.now());
    server.by = await createIssuer(stranger, { name: 'edge', days: 90 }, clock.now());
    const used = kept(own);
    await eventually(async () => {
      await clock.advance(0.1 * day);
      expect(server.asked.length).toBeGreaterThan(3);
    });
    expect(used).toEqual([]);
    expect(await readFile(file('node.pem'))).toEqual(own.tls.cert);
  });
});
