import { loadX509 } from './x509.ts';

const PEM = /-----BEGIN (?:X509 )?CRL-----([^-]+)-----END (?:X509 )?CRL-----/g;

/** What the lists of one file revoked, to be asked about certificates that TLS has let in already. */
export class Revocations {
  /** Of issuers and serial numbers. */
  readonly #revoked: ReadonlySet<string>;
  readonly #nameOf: (der: Uint8Array<ArrayBuffer>) => string;

  private constructor(revoked: ReadonlySet<string>, nameOf: (der: Uint8Array<ArrayBuffer>) => string) {
    this.#revoked = revoked;
    this.#nameOf = nameOf;
  }

  /** Throws for a file without a list in it. Whose lists they are is for OpenSSL to judge, which reads the same file. */
  static async read(pem: string): Promise<Revocations> {
    const x509 = await loadX509();
    const lists = [...pem.matchAll(PEM)].map(([, body = '']) => new x509.X509Crl(Buffer.from(body, 'base64')));
    if (lists.length === 0) throw new Error('The file has no list of revoked certificates.');
    const revoked = lists.flatMap(({ issuer, entries }) => entries.map((entry) => named(issuer, entry.serialNumber)));
    return new Revocations(new Set(revoked), (der) => {
      const { issuer, serialNumber } = new x509.X509Certificate(der);
      return named(issuer, serialNumber);
    });
  }

  has(certificate: Uint8Array<ArrayBuffer>): boolean {
    return this.#revoked.size > 0 && this.#revoked.has(this.#nameOf(certificate));
  }
}

const named = (issuer: string, serial: string): string => `${issuer} ${serial.toLowerCase().replace(/^0+/, '')}`;
