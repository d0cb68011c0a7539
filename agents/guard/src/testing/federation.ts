import { createPrivateKey } from 'node:crypto';
import { SigningKey } from '@aegis/core-native/secagg';
import { createCrl, createRoot, issueCertificate, openSigningCertificate, readRoots } from '@aegis/service-kit';
import type { Signing } from '../flows/signing.ts';

/** A federation whose nodes have signing certificates, each its own. */
export class Federation {
  readonly #root: Awaited<ReturnType<typeof createRoot>>;

  private constructor(root: Awaited<ReturnType<typeof createRoot>>) {
    this.#root = root;
  }

  static async found(name = 'hospitals'): Promise<Federation> {
    return new Federation(await createRoot(name, 3653, Date.now()));
  }

  get rootPem(): string {
    return this.#root.certPem;
  }

  issue(name: string) {
    return issueCertificate(this.#root, { kind: 'signing', name, days: 30 }, Date.now());
  }

  /** The federation's crl.pem. */
  revocations(serials: readonly string[]): Promise<string> {
    const now = Date.now();
    return createCrl(
      this.#root,
      serials.map((serial) => ({ serial, at: now })),
      30,
      now,
    );
  }

  /** What a node of that name signs with. */
  async signing(name: string): Promise<Signing> {
    const { certPem, keyPem } = await this.issue(name);
    const key = SigningKey.fromPkcs8(createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' }));
    const roots = readRoots(this.#root.certPem);
    return {
      certificatePem: certPem,
      key,
      open: (pem, now) => openSigningCertificate(pem, roots, now),
    };
  }
}
