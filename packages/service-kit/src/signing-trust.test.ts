import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, FakeClock, type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeFileAtomic } from './atomic-file.ts';
import { createCrl, createRoot, issueCertificate } from './federation-ca.ts';
import type { Logger } from './logger.ts';
import { silentLogger } from './logger.ts';
import { SigningTrust } from './signing-trust.ts';

const now = Date.now();
const day = 86_400_000;
const root = await createRoot('hospitals', 3653, now);
const stranger = await createRoot('hospitals', 3653, now);
const ada = await issueCertificate(root, { kind: 'signing', name: 'ada', days: 365 }, now);
const bob = await issueCertificate(root, { kind: 'signing', name: 'bob', days: 365 }, now);
const lists = {
  nobody: await createCrl(root, [], 30, now),
  ada: await createCrl(root, [{ serial: ada.serial, at: now }], 30, now),
  forged: await createCrl(stranger, [], 30, now),
};

let folder: TemporaryFolder;
beforeAll(async () => {
  folder = await temporaryFolder('trust');
});
afterAll(() => folder.remove());

const filesWith = async (crl: string, roots = root.certPem) => {
  const files = { roots: join(folder.path, 'root.pem'), crl: join(folder.path, 'crl.pem') };
  await writeFile(files.roots, roots);
  await writeFile(files.crl, crl);
  return files;
};
const refusing = (text: string) =>
  expect.objectContaining({ code: 'SECAGG_CERTIFICATE', message: expect.stringContaining(text) });

describe('whose signing certificates count', () => {
  it('is nobody whose certificate was taken back', async () => {
    const trust = await SigningTrust.open(await filesWith(lists.ada));
    expect(() => trust.openCertificate(ada.certPem, now)).toThrow(refusing('revoked'));
    expect(trust.openCertificate(bob.certPem, now).name).toBe('bob');
  });

  it('is nobody once the list is over: who was taken back since is not in it', async () => {
    const trust = await SigningTrust.open(await filesWith(lists.nobody));
    expect(trust.openCertificate(bob.certPem, now + 29 * day).name).toBe('bob');
    expect(() => trust.openCertificate(bob.certPem, now + 31 * day)).toThrow(refusing('over since'));
  });

  it('is everybody whom the root names, where there is no list', async () => {
    const { roots } = await filesWith('');
    expect((await SigningTrust.open({ roots })).openCertificate(ada.certPem, now).name).toBe('ada');
  });

  it.each([
    ['a list that another root signed', lists.forged, root.certPem],
    ['a file without a list', 'crl', root.certPem],
    ['a list that was changed', lists.nobody.replace(/[A-Za-z](?=[^\n]*\n-----END)/, '='), root.certPem],
    ['no root', lists.nobody, ''],
  ])('is not told by %s', async (_name, crl, roots) => {
    await expect(SigningTrust.open(await filesWith(crl, roots))).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('changes with the file, and not by one that cannot be used, which is told once', async () => {
    const files = await filesWith(lists.nobody);
    const trust = await SigningTrust.open(files);
    const clock = new FakeClock(now);
    const error = vi.fn();
    const stop = trust.watch(clock, { ...silentLogger, error, info: () => {} } as unknown as Logger);
    await writeFileAtomic(files.crl, lists.forged);
    await eventually(async () => {
      await clock.advance(1_000);
      expect(error).toHaveBeenCalled();
    });
    expect(trust.openCertificate(ada.certPem, now).name).toBe('ada');
    await writeFileAtomic(files.crl, lists.ada);
    await eventually(async () => {
      await clock.advance(1_000);
      expect(() => trust.openCertificate(ada.certPem, now)).toThrow(refusing('revoked'));
    });
    expect(error).toHaveBeenCalledTimes(1);
    stop();
  });
});
