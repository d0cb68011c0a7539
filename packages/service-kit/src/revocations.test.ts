import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createCrl, createRoot, issueCertificate } from './federation-ca.ts';
import { Revocations } from './revocations.ts';

const now = Date.now();
const root = await createRoot('hospitals', 30, now);
const other = await createRoot('clinics', 30, now);
const ada = await issueCertificate(root, { kind: 'guard', name: 'ada', days: 9 }, now);
const bob = await issueCertificate(root, { kind: 'guard', name: 'bob', days: 9 }, now);
const derOf = ({ certPem }: { certPem: string }) => new Uint8Array(new X509Certificate(certPem).raw);

describe('a file of revocations', () => {
  it('names who was revoked, and nobody else', async () => {
    const list = await Revocations.read(await createCrl(root, [{ serial: ada.serial, at: now }], 3, now));
    expect(list.has(derOf(ada))).toBe(true);
    expect(list.has(derOf(bob))).toBe(false);
  });

  it('may hold the lists of several issuers, each about its own certificates', async () => {
    const lists = [
      await createCrl(other, [{ serial: ada.serial, at: now }], 3, now),
      await createCrl(root, [{ serial: bob.serial, at: now }], 3, now),
    ];
    const list = await Revocations.read(lists.join(''));
    expect(list.has(derOf(ada))).toBe(false);
    expect(list.has(derOf(bob))).toBe(true);
  });

  it('is not empty by mistake', async () => {
    await expect(Revocations.read('')).rejects.toThrow('no list');
    await expect(Revocations.read('-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----')).rejects.toThrow();
  });
});
