import { createSecureContext } from 'node:tls';
import { HealthCheckResponse_ServingStatus, HealthService } from '@aegis/contracts/grpc/health/v1/health';
import { AegisError } from '@aegis/errors';
import { Client, credentials, logVerbosity, Metadata, type ServiceError, setLogVerbosity } from '@grpc/grpc-js';
import { fromGrpcStatus } from './grpc-status.ts';
import { defaultTimeoutMs } from './in-process-channel.ts';
import { type LiveTls, liveTls } from './live-tls.ts';
import { messageCodec } from './message-codec.ts';
import { noTelemetry } from './no-telemetry.ts';
import type { CallOptions, MethodDefinition, ServiceChannel, ServiceClient, ServiceDefinition } from './service.ts';
import type { Telemetry } from './telemetry.ts';
import type { TlsFiles, TlsMaterial } from './tls-material.ts';
import { watchCertificate } from './watch-certificate.ts';
import { whenStuck } from './when-stuck.ts';

// grpc-js writes plain lines to stderr; what they say arrives as errors anyway. GRPC_VERBOSITY brings them back.
if (process.env.GRPC_VERBOSITY === undefined) setLogVerbosity(logVerbosity.NONE);

/** Largest message either side takes. */
export const maxMessageBytes = 512 * 2 ** 20;

/** Bytes of a stream, and of all streams of a connection, that may be under way, at either side. */
export const flowControlWindow = 8 * 2 ** 20;

export interface GrpcChannelOptions {
  /** host:port */
  address: string;
  /** Files are looked at again: a renewed certificate is shown from the next connection on. */
  tls?: TlsMaterial | TlsFiles | LiveTls | undefined;
  /** Plain text; for development, and must be said. */
  insecure?: boolean | undefined;
  /** Name the server's certificate must carry, when it is not the host in `address`. */
  serverName?: string | undefined;
  /**
   * Milliseconds a connection may take to be made before it is tried anew, name resolution included; default 2 s. Calls that waited for it fail with
   * UNAVAILABLE. Each further attempt in a row may take twice as long, up to five times this: a peer that is slow is not a peer that is gone.
   */
  connectWaitMs?: number;
  telemetry?: Telemetry;
}

/** Opens no connection before the first call; reconnects by itself. */
export const grpcChannel = (options: GrpcChannelOptions): ServiceChannel => {
  const { address, serverName, connectWaitMs = 2_000, telemetry = noTelemetry } = options;
  const tls = options.tls && liveTls(options.tls);
  if (tls !== undefined) watchCertificate(telemetry.meter, 'client', () => tls.now.cert);
  const settings = {
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': -1,
    // A restarted service is back within a second; grpc-js would wait up to two minutes.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2_000,
    // A pod that is replaced has another address under the same name; grpc-js would ask for it every thirty seconds at most.
    'grpc.dns_min_time_between_resolutions_ms': 500,
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc-node.flow_control_window': flowControlWindow,
    // A client opened anew must not be given the connection that the one before waits for.
    'grpc.use_local_subchannel_pool': 1,
    ...(serverName !== undefined && {
      'grpc.ssl_target_name_override': serverName,
      'grpc.default_authority': serverName,
    }),
  };
  let stuckInARow = 0;
  const open = (): Client => {
    const opened = new Client(address, channelCredentials(options, tls), settings);
    whenStuck(opened, {
      waitMs: Math.min(connectWaitMs * 2 ** stuckInARow, connectWaitMs * 5),
      connected: () => {
        stuckInARow = 0;
      },
      stuck: () => {
        if (client !== opened) return;
        stuckInARow += 1;
        reopen();
      },
    });
    return opened;
  };
  const reopen = (): void => {
    if (closed) return;
    const before = client;
    client = open();
    // Calls under way go on to their end.
    before.close();
  };
  let closed = false;
  let client = open();
  tls?.onChange(reopen);
  const whileOpen = (): Client => {
    if (closed) throw new AegisError('UNAVAILABLE');
    return client;
  };
  const call = (definition: object) =>
    Object.fromEntries(
      Object.entries(definition as ServiceDefinition).map(([name, method]) => [
        name,
        method.responseStream ? streamCall(whileOpen, method, telemetry) : unaryCall(whileOpen, method, telemetry),
      ]),
    );
  const health = call(HealthService) as unknown as ServiceClient<HealthService>;

  return {
    client: <D extends object>(definition: D) => call(definition) as ServiceClient<D>,
    ready: async () => {
      try {
        const { status } = await health.check({ service: '' }, { timeoutMs: 2_000 });
        return status === HealthCheckResponse_ServingStatus.SERVING;
      } catch {
        return false;
      }
    },
    close: async () => {
      closed = true;
      tls?.close();
      client.close();
    },
  };
};

const channelCredentials = ({ insecure, address }: GrpcChannelOptions, tls: LiveTls | undefined) => {
  if (tls !== undefined) {
    const { ca, cert, key } = tls.now;
    return credentials.createFromSecureContext(createSecureContext({ ca, cert, key, minVersion: 'TLSv1.3' }));
  }
  if (insecure === true) return credentials.createInsecure();
  throw new AegisError('CONFIG_INVALID', `The channel to ${address} has neither tls nor insecure: true.`);
};

const identity = (bytes: Buffer): Buffer => bytes;

const metadataOf = (options: CallOptions, telemetry: Telemetry): Metadata => {
  const metadata = new Metadata();
  const traceparent = options.traceparent ?? telemetry.traceparent();
  if (traceparent !== undefined) metadata.set('traceparent', traceparent);
  return metadata;
};

const deadlineOf = (timeoutMs: number | undefined) =>
  timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };

const unaryCall = (client: () => Client, method: MethodDefinition, telemetry: Telemetry) => {
  const { encode } = messageCodec(method.requestSerialize, method.requestDeserialize);
  const { decode } = messageCodec(method.responseSerialize, method.responseDeserialize);
  return (request: unknown, options: CallOptions = {}): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const { signal, timeoutMs = defaultTimeoutMs } = options;
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        call.cancel();
        reject(signal?.reason);
      };
      const call = client().makeUnaryRequest(
        method.path,
        identity,
        identity,
        encode(request),
        metadataOf(options, telemetry),
        deadlineOf(timeoutMs),
        (error: ServiceError | null, bytes?: Buffer) => {
          signal?.removeEventListener('abort', onAbort);
          if (error !== null || bytes === undefined) return reject(errorOf(error));
          try {
            resolve(decode(bytes));
          } catch (cause) {
            reject(new AegisError('INTERNAL', `The answer of ${method.path.slice(1)} could not be decoded.`, cause));
          }
        },
      );
      signal?.addEventListener('abort', onAbort, { once: true });
    });
};

const streamCall = (client: () => Client, method: MethodDefinition, telemetry: Telemetry) => {
  const { encode } = messageCodec(method.requestSerialize, method.requestDeserialize);
  const { decode } = messageCodec(method.responseSerialize, method.responseDeserialize);
  return async function* (request: unknown, options: CallOptions = {}): AsyncGenerator<unknown, void, undefined> {
    const { signal, timeoutMs } = options;
    signal?.throwIfAborted();
    const call = client().makeServerStreamRequest(
      method.path,
      identity,
      identity,
      encode(request),
      metadataOf(options, telemetry),
      deadlineOf(timeoutMs),
    );
    const onAbort = () => call.cancel();
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      for await (const bytes of call) {
        yield decode(bytes as Buffer);
        signal?.throwIfAborted();
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw errorOf(error);
    } finally {
      signal?.removeEventListener('abort', onAbort);
      call.cancel();
    }
  };
};

const errorOf = (error: unknown): AegisError =>
  error instanceof AegisError
    ? error
    : error === null
      ? new AegisError('INTERNAL')
      : fromGrpcStatus(error as ServiceError);
