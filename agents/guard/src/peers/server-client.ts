import { createSecureContext } from 'node:tls';
import type { TlsMaterial } from '@aegis/service-kit';
import { Client, credentials } from '@grpc/grpc-js';

export interface ServerWay {
  readonly address: string;
  readonly serverName?: string | undefined;
}

/** A client of the gateway, over TLS 1.3. Without certificate and key it may enrol, and nothing else. */
export const openServerClient = (
  { address, serverName }: ServerWay,
  { ca, cert, key }: Pick<TlsMaterial, 'ca'> & Partial<TlsMaterial>,
): Client => {
  const secure = createSecureContext({ ca, ...(cert && key && { cert, key }), minVersion: 'TLSv1.3' });
  return new Client(address, credentials.createFromSecureContext(secure), {
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 10_000,
    ...(serverName !== undefined && {
      'grpc.ssl_target_name_override': serverName,
      'grpc.default_authority': serverName,
    }),
  });
};
