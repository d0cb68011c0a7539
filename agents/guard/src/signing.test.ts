import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { silentLogger } from '@aegis/service-kit';
import { eventually, FakeClock, type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSigning, type SigningFiles } from './signing.ts';
import { Federation } from './testing/federation.ts';

const federation = await Federation.found();
const other = await Federation.found();
const [ada, bob, stranger] = [await federation.issue('ada'), await federation.issue('bob'), await other.issue('ada')];
let folder: TemporaryFolder;
beforeAll(async () => {
  folder = await temporaryFolder('signing');
});
afterAll(() => folder.remove());

const files = async (
  changes: Partial<Record<keyof SigningFiles, string>> = {},
  mode = 0o600,
): Promise<SigningFiles> => {
  const contents = { certificate: ada.certPem, key: ada.keyPem, roots: federation.rootPem, ...changes };
  const written = {} as Record<keyof SigningFiles, string>;
  for (const [name, content] of Object.entries(contents)) {
    const file = join(folder.path, name);
    await writeFile(file, content, { mode: 0o600 });
    if (name === 'key') await chmod(file, mode);
    written[name as keyof SigningFiles] = file;
  }
  return written;
};

describe('what a guard signs with', () => {
  it('is the key of its certificate, and believes the nodes of its federation', async () => {
    const signing = await readSigning(await files(), Date.now());
    expect(signing.certificatePem).toBe(ada.certPem);
    expect(signing.open(bob.certPem, Date.now()).subject).toBe('O=hospitals, CN=bob');
    expect(() => signing.open(stranger.certPem, Date.now())).toThrow(
      expect.objectContaining({ code: 'SECAGG_CERTIFICATE' }),
    );
  });

  it.each<[string, Partial<Record<keyof SigningFiles, string>>, number, string]>([
    ['a key that others may read', {}, 0o644, 'CONFIG_INVALID'],
    ["another's key", { key: bob.keyPem }, 0o600, 'CONFIG_INVALID'],
    ['no key', { key: 'key' }, 0o600, 'CONFIG_INVALID'],
    ['a certificate of another federation', { certificate: stranger.certPem }, 0o600, 'SECAGG_CERTIFICATE'],
    ['no certificate', { certificate: '' }, 0o600, 'SECAGG_CERTIFICATE'],
    ['no root', { roots: '' }, 0o600, 'CONFIG_INVALID'],
  ])('is not %s', async (_name, changes, mode, code) => {
    const given = await files(changes, mode);
    await expect(readSigning(given, Date.now())).rejects.toThrow(expect.objectContaining({ code }));
  });

  it('believes nobody whom the federation took back, from when the file says so', async () => {
    const crl = join(folder.path, 'crl.pem');
    await writeFile(crl, await federation.revocations([]));
    const signing = await readSigning({ ...(await files()), crl }, Date.now());
    const clock = new FakeClock(Date.now());
    const stop = signing.watch?.(clock, silentLogger);
    expect(signing.open(bob.certPem, clock.now()).subject).toBe('O=hospitals, CN=bob');
    await writeFile(crl, await federation.revocations([bob.serial]));
    await eventually(async () => {
      await clock.advance(1_000);
      expect(() => signing.open(bob.certPem, clock.now())).toThrow(
        expect.objectContaining({ code: 'SECAGG_CERTIFICATE', message: expect.stringContaining('revoked') }),
      );
    });
    expect(signing.open(ada.certPem, clock.now()).subject).toBe('O=hospitals, CN=ada');
    stop?.();
  });

  it('says nothing of the key in its complaint', async () => {
    const given = await files({ key: bob.keyPem });
    const secret = bob.keyPem.split('\n')[1] ?? '';
    await expect(readSigning(given, Date.now())).rejects.toThrow(
      expect.not.objectContaining({ message: expect.stringContaining(secret) }),
    );
  });

  it('is not in a file that is not there', async () => {
    const given = { ...(await files()), key: join(folder.path, 'nothing') };
    await expect(readSigning(given, Date.now())).rejects.toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });
});
