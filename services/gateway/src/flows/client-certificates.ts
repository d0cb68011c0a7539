import { AegisError } from '@aegis/errors';
import type { CertificateRule, Principal } from '../domain/client-certificate.ts';

/** Whom each live connection's certificate names. TLS found it good when the connection was made; see api/screen-connection.ts. */
export class ClientCertificates {
  readonly rule: CertificateRule;
  readonly #principals = new WeakMap<object, Principal>();

  constructor(rule: CertificateRule) {
    this.rule = rule;
  }

  belongs(connection: object, principal: Principal): void {
    this.#principals.set(connection, principal);
  }

  /** null: it showed none. CERTIFICATE_REQUIRED where that is not allowed. */
  holderOf(connection: object | undefined): Principal | null {
    const principal = connection && this.#principals.get(connection);
    if (principal) return principal;
    if (this.rule === 'require') throw new AegisError('CERTIFICATE_REQUIRED');
    return null;
  }
}
