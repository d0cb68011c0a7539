import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createRoot, issueCertificate } from './federation-ca.ts';
import { openSigningCertificate, readRoots } from './signing-certificate.ts';

const now = Date.now();
const day = 86_400_000;
const root = await createRoot('hospitals', 3653, now - 2 * day);
const other = await createRoot('hospitals', 3653, now - 2 * day);
const roots = readRoots(`${other.certPem}\n${root.certPem}`);
const ada = await issueCertificate(root, { kind: 'signing', name: 'ada', days: 365 }, now);

describe('a signing certificate', () => {
  it('gives the key, and whose it is', () => {
    const { subject, name, keyPem, notAfter } = openSigningCertificate(ada.certPem, roots, now);
    expect({ subject, name }).toEqual({ subject: 'O=hospitals, CN=ada', name: 'ada' });
    expect(keyPem).toBe(new X509Certificate(ada.certPem).publicKey.export({ type: 'spki', format: 'pem' }));
    expect(notAfter).toBe(ada.notAfter);
  });

  it.each([
    ['of a stranger with the same name', 'None of the federation roots given here'],
    ['of another kind', 'not of the kind'],
    ['that has ended', 'is good from'],
    ['that is the root', 'not of the kind'],
    ['that is none', 'no certificate'],
    ['that never ends', 'too long'],
  ])('%s is refused', async (which, why) => {
    const stranger = await createRoot('hospitals', 10, now);
    const given: Record<string, string> = {
      'of a stranger with the same name': (
        await issueCertificate(stranger, { kind: 'signing', name: 'ada', days: 9 }, now)
      ).certPem,
      'of another kind': (await issueCertificate(root, { kind: 'guard', name: 'ada', days: 9 }, now)).certPem,
      'that has ended': (await issueCertificate(root, { kind: 'signing', name: 'ada', days: 1 }, now - 2 * day))
        .certPem,
      'that is the root': root.certPem,
      'that is none': 'ada',
      'that never ends': 'a'.repeat(10_000),
    };
    expect(() => openSigningCertificate(given[which] ?? '', roots, now)).toThrow(
      expect.objectContaining({ code: 'SECAGG_CERTIFICATE', message: expect.stringContaining(why) }),
    );
  });

  it('reads all roots of a file, and none from one without', () => {
    expect(roots).toHaveLength(2);
    expect(readRoots('nothing')).toEqual([]);
  });
});
