// The federation of the demo: its root, which stays with whoever runs the demo, and the certificates of its hospitals.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createCrl, createRoot, issueCertificate } from '@aegis/service-kit';

const DAYS = 2;

/** The files of one data owner. */
export interface OwnerFiles {
  readonly certificate: string;
  readonly key: string;
  readonly signingCertificate: string;
  readonly signingKey: string;
}

export class DemoFederation {
  readonly root: string;
  readonly crl: string;
  readonly #folder: string;
  readonly #authority: Awaited<ReturnType<typeof createRoot>>;

  private constructor(folder: string, authority: Awaited<ReturnType<typeof createRoot>>) {
    this.#folder = folder;
    this.#authority = authority;
    this.root = join(folder, 'root.pem');
    this.crl = join(folder, 'crl.pem');
  }

  static async found(folder: string): Promise<DemoFederation> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const authority = await createRoot('hospitals', DAYS, Date.now());
    const federation = new DemoFederation(folder, authority);
    await writeFile(federation.root, authority.certPem);
    await writeFile(federation.crl, await createCrl(authority, [], DAYS, Date.now()));
    return federation;
  }

  /** A certificate to come in with, and one whose key signs what other nodes check. */
  async admit(name: string): Promise<OwnerFiles> {
    const [certificate, key] = await this.#issue(name, 'guard', name);
    const [signingCertificate, signingKey] = await this.#issue(name, 'signing', `${name}.signing`);
    return { certificate, key, signingCertificate, signingKey };
  }

  async #issue(name: string, kind: 'guard' | 'signing', stem: string): Promise<[certificate: string, key: string]> {
    const { certPem, keyPem } = await issueCertificate(this.#authority, { kind, name, days: DAYS }, Date.now());
    const [certificate, key] = [join(this.#folder, `${stem}.pem`), join(this.#folder, `${stem}.key`)];
    await writeFile(certificate, certPem);
    await writeFile(key, keyPem, { mode: 0o600 });
    return [certificate, key];
  }
}
