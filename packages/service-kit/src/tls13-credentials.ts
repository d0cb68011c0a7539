import type { SecureServerOptions } from 'node:http2';
import { ServerCredentials } from '@grpc/grpc-js';
import { flowControlWindow } from './grpc-channel.ts';
import type { LiveTls } from './live-tls.ts';
import type { TlsMaterial } from './tls-material.ts';

/**
 * TLS 1.3 with a client certificate, always; grpc-js's own createSsl takes no protocol version. And room for a whole part in a
 * stream: grpc-js takes its `flow_control_window` for clients alone, but hands these options to the HTTP/2 server as they are.
 */
export class Tls13Credentials extends ServerCredentials {
  constructor(tls: LiveTls) {
    const http2: SecureServerOptions = {
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
      settings: { initialWindowSize: flowControlWindow },
    };
    super(http2, contextOf(tls.now));
    tls.onChange(() => this.updateSecureContextOptions(contextOf(tls.now)));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

const contextOf = ({ ca, cert, key }: TlsMaterial) => ({ ca, cert, key, minVersion: 'TLSv1.3' as const });
