import { ServerCredentials } from '@grpc/grpc-js';
import type { TlsMaterial } from './tls-material.ts';

/** TLS 1.3 with a client certificate, always. grpc-js's own createSsl takes no protocol version. */
export class Tls13Credentials extends ServerCredentials {
  constructor({ ca, cert, key }: TlsMaterial) {
    super({ requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' }, { ca, cert, key });
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}
