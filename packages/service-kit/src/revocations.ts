import type { X509Crl } from '@peculiar/x509';
import { loadX509 } from './x509.ts';

const PEM = /-----BEGIN (?:X509 )?CRL-----([^-]+)-----END (?:X509 )?CRL-----/g;

/** What the lists of one file revoked. */
export class Revocations {
  /** When the first of the lists is over: whoever was revoked since may be in none of them. Milliseconds since 1970. */
  readonly endsAt: number;
  /** Of issuers and serial numbers. */
  readonly #revoked: ReadonlySet<string>;
  readonly #nameOf: (der: Uint8Array<ArrayBuffer>) => string;

  private constructor(lists: readonly X509Crl[], nameOf: (der: Uint8Array<ArrayBuffer>) => string) {
    this.endsAt = Math.min(...lists.map(({ nextUpdate }) => nextUpdate?.getTime() ?? Number.POSITIVE_INFINITY));
    this.#revoked = new Set(
      lists.flatMap(({ issuer, entries }) => entries.map((entry) => named(issuer, entry.serialNumber))),
    );
    this.#nameOf = nameOf;
  }

  /**
   * For asking about certificates that TLS has let in already: whose lists they are is for OpenSSL to judge, which reads the same file. Throws for
   * a file without a list in it.
   */
  static async read(pem: string): Promise<Revocations> {
    return (await Revocations.#parse(pem)).revocations;
  }

  /** The same where nobody else judges: throws unless one of these roots (PEM) signed each of the lists. */
  static async readSigned(pem: string, roots: readonly string[]): Promise<Revocations> {
    const { lists, revocations } = await Revocations.#parse(pem);
    const x509 = await loadX509();
    const issuers = roots.map((root) => new x509.X509Certificate(root));
    for (const list of lists) {
      const tried = issuers.filter(({ subject }) => subject === list.issuer);
      const signed = await Promise.all(tried.map((publicKey) => list.verify({ publicKey })));
      if (!signed.includes(true)) throw new Error(`None of the roots signed the list of ${list.issuer}.`);
    }
    return revocations;
  }

  static async #parse(pem: string) {
    const x509 = await loadX509();
    const lists = [...pem.matchAll(PEM)].map(([, body = '']) => new x509.X509Crl(Buffer.from(body, 'base64')));
    if (lists.length === 0) throw new Error('The file has no list of revoked certificates.');
    const revocations = new Revocations(lists, (der) => {
      const { issuer, serialNumber } = new x509.X509Certificate(der);
      return named(issuer, serialNumber);
    });
    return { lists, revocations };
  }

  has(certificate: Uint8Array<ArrayBuffer>): boolean {
    return this.#revoked.size > 0 && this.#revoked.has(this.#nameOf(certificate));
  }
}

const named = (issuer: string, serial: string): string => `${issuer} ${serial.toLowerCase().replace(/^0+/, '')}`;
