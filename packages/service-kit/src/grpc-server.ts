import type { Http2Session, ServerHttp2Stream } from 'node:http2';
import { AegisError } from '@aegis/errors';
import {
  Server,
  ServerCredentials,
  type ServerErrorResponse,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { callerNames } from './caller-names.ts';
import { flowControlWindow, maxMessageBytes } from './grpc-channel.ts';
import { toGrpcStatus } from './grpc-status.ts';
import { healthName, healthService } from './health.ts';
import { callerGone, type Invocation, invokeStream, invokeUnary, type Surroundings } from './invoke.ts';
import { type LiveTls, liveTls } from './live-tls.ts';
import type { Logger } from './logger.ts';
import { type MessageCodec, messageCodec } from './message-codec.ts';
import { noTelemetry } from './no-telemetry.ts';
import type { LocalService, MethodDefinition, StreamHandler, UnaryHandler } from './service.ts';
import type { Telemetry } from './telemetry.ts';
import type { TlsFiles, TlsMaterial } from './tls-material.ts';
import { Tls13Credentials } from './tls13-credentials.ts';
import { watchCertificate } from './watch-certificate.ts';

export interface ServeGrpcOptions {
  /** host:port; port 0 = any free one. */
  address: string;
  /** Files are looked at again: who connects later sees the renewed certificate. */
  tls?: TlsMaterial | TlsFiles | LiveTls | undefined;
  /** Plain text and no caller lists; for development, and must be said. */
  insecure?: boolean | undefined;
  /** Who may call which service, by a name in the caller's certificate. Every served service has a list; no other name may appear. */
  callers: Readonly<Record<string, readonly string[]>>;
  services: readonly LocalService[];
  log: Logger;
  telemetry?: Telemetry;
  /** What the health service answers while not draining. Default: always yes. */
  healthy?: () => boolean;
}

export interface GrpcServer {
  readonly port: number;
  /** Refuses new calls with DRAINING, ends streams, waits for unary calls under way (at most `waitMs`). */
  drain(waitMs?: number): Promise<void>;
  close(): Promise<void>;
}

export const serveGrpc = async (options: ServeGrpcOptions): Promise<GrpcServer> => {
  const { address, services, log, telemetry = noTelemetry, healthy = () => true } = options;
  checkCallers(options);
  const server = new Server({
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': -1,
    interceptors: options.tls === undefined ? [] : [wideConnections(), callerGate(options.callers)],
  });
  const calls = new OpenCalls();
  const around = { log, telemetry };
  const health = healthService(
    () => !calls.draining && healthy(),
    services.map((service) => service.name),
  );
  for (const service of [...services, health]) addService(server, service, calls, around);
  const tls = options.tls && liveTls(options.tls);
  if (tls !== undefined) watchCertificate(telemetry.meter, 'server', () => tls.now.cert);
  const port = await bind(server, address, serverCredentials(options, tls));
  log.info({ address, port, services: services.map((service) => service.name) }, 'serving gRPC');

  return {
    port,
    drain: (waitMs = 15_000) => calls.drain(waitMs),
    close: () => {
      calls.refuse();
      tls?.close();
      return new Promise((resolve) => {
        const force = setTimeout(() => server.forceShutdown(), 1_000);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      });
    },
  };
};

// --- who may call -----------------------------------------------------------------------------------------------------------

const checkCallers = ({ callers, services, tls }: ServeGrpcOptions): void => {
  const served = services.map((service) => service.name);
  const unknown = Object.keys(callers).find((name) => !served.includes(name));
  if (unknown !== undefined) {
    throw new AegisError(
      'CONFIG_INVALID',
      `callers.${unknown}: no such service here; served are ${served.join(', ')}.`,
    );
  }
  const open = served.find((name) => callers[name] === undefined);
  if (tls !== undefined && open !== undefined) {
    throw new AegisError('CONFIG_INVALID', `callers.${open} is missing: name who may call it ([] for nobody).`);
  }
};

const serverCredentials = ({ insecure, address }: ServeGrpcOptions, tls: LiveTls | undefined): ServerCredentials => {
  if (tls !== undefined) return new Tls13Credentials(tls);
  if (insecure === true) return ServerCredentials.createInsecure();
  throw new AegisError('CONFIG_INVALID', `The server at ${address} has neither tls nor insecure: true.`);
};

// HTTP/2 gives all calls of a connection 64 KiB together until the receiver says otherwise. Only the innermost call knows its session.
const wideConnections = (): ServerInterceptor => {
  const widened = new WeakSet<Http2Session>();
  return (_method, call) => {
    const { session } = (call as { stream?: ServerHttp2Stream }).stream ?? {};
    if (session !== undefined && !widened.has(session)) {
      widened.add(session);
      session.setLocalWindowSize(flowControlWindow);
    }
    return new ServerInterceptingCall(call);
  };
};

// TLS has proved who it is; each service says whether that name may come in. Health is open to every authenticated peer.
const callerGate =
  (callers: ServeGrpcOptions['callers']): ServerInterceptor =>
  (method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            const service = method.path.split('/')[1] ?? '';
            const names = callerNames(call.getAuthContext().sslPeerCertificate);
            if (service === healthName || names.some((name) => callers[service]?.includes(name)))
              return proceed(metadata);
            const who = names[0] ?? 'a certificate without a name';
            call.sendStatus(toGrpcStatus(new AegisError('CALLER_FORBIDDEN', `${who} is not a caller of ${service}.`)));
          },
        }),
    });

// --- calls under way --------------------------------------------------------------------------------------------------------

class OpenCalls {
  draining = false;
  readonly #streams = new Set<AbortController>();
  readonly #unary = new Set<Promise<unknown>>();
  readonly #refused = new AegisError('DRAINING');

  refuse(): void {
    this.draining = true;
    for (const stream of this.#streams) stream.abort(this.#refused);
  }

  async drain(waitMs: number): Promise<void> {
    this.refuse();
    let timer: NodeJS.Timeout | undefined;
    const bound = new Promise((resolve) => {
      timer = setTimeout(resolve, waitMs);
    });
    await Promise.race([Promise.allSettled(this.#unary), bound]);
    clearTimeout(timer);
  }

  unary<T>(call: () => Promise<T>): Promise<T> {
    if (this.draining) return Promise.reject(this.#refused);
    const running = call();
    this.#unary.add(running);
    const done = () => this.#unary.delete(running);
    running.then(done, done);
    return running;
  }

  /** Returns the way to say the stream is over. */
  stream(controller: AbortController): () => void {
    if (this.draining) throw this.#refused;
    this.#streams.add(controller);
    return () => this.#streams.delete(controller);
  }
}

// --- handlers ---------------------------------------------------------------------------------------------------------------

const identity = (bytes: Buffer): Buffer => bytes;

// Messages are decoded here rather than in grpc-js, so that a malformed one is REQUEST_MALFORMED and not its parser's text.
const addService = (server: Server, service: LocalService, calls: OpenCalls, around: Surroundings): void => {
  const rawDefinition = Object.fromEntries(
    Object.entries(service.definition).map(([name, method]) => [
      name,
      {
        path: method.path,
        requestStream: method.requestStream,
        responseStream: method.responseStream,
        requestSerialize: identity,
        requestDeserialize: identity,
        responseSerialize: identity,
        responseDeserialize: identity,
      },
    ]),
  );
  const implementation: UntypedServiceImplementation = {};
  for (const [name, method] of Object.entries(service.definition)) {
    const handler = service.handlers[name];
    implementation[name] = method.responseStream
      ? streamMethod(method, handler as StreamHandler<unknown, unknown>, calls, around)
      : unaryMethod(method, handler as UnaryHandler<unknown, unknown>, calls, around);
  }
  server.addService(rawDefinition, implementation);
};

type RawCall = ServerUnaryCall<Buffer, Buffer> | ServerWritableStream<Buffer, Buffer>;

const unaryMethod = (
  method: MethodDefinition,
  handler: UnaryHandler<unknown, unknown>,
  calls: OpenCalls,
  around: Surroundings,
) => {
  const { decode } = messageCodec(method.requestSerialize, method.requestDeserialize);
  const { encode } = messageCodec(method.responseSerialize, method.responseDeserialize);
  return (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void => {
    const gone = goneSignal(call);
    calls
      .unary(async () =>
        encode(
          await invokeUnary(handler, decodeRequest(decode, call.request), invocationOf(call, gone.signal), around),
        ),
      )
      .then(
        (bytes) => answer(null, bytes),
        (error: unknown) => answer(toGrpcStatus(AegisError.from(error)) as ServerErrorResponse),
      );
  };
};

const streamMethod = (
  method: MethodDefinition,
  handler: StreamHandler<unknown, unknown>,
  calls: OpenCalls,
  around: Surroundings,
) => {
  const { decode } = messageCodec(method.requestSerialize, method.requestDeserialize);
  const { encode } = messageCodec(method.responseSerialize, method.responseDeserialize);
  return async (call: ServerWritableStream<Buffer, Buffer>): Promise<void> => {
    const gone = goneSignal(call);
    let over: (() => void) | undefined;
    try {
      over = calls.stream(gone);
      const request = decodeRequest(decode, call.request);
      for await (const message of invokeStream(handler, request, invocationOf(call, gone.signal), around)) {
        if (!call.write(encode(message))) await drained(call, gone.signal);
      }
      call.end();
    } catch (error) {
      call.emit('error', toGrpcStatus(AegisError.from(error)));
    } finally {
      over?.();
    }
  };
};

const goneSignal = (call: RawCall): AbortController => {
  const controller = new AbortController();
  call.once('cancelled', () => controller.abort(callerGone));
  return controller;
};

const invocationOf = (call: RawCall, signal: AbortSignal): Invocation => {
  const [traceparent] = call.metadata.get('traceparent');
  return {
    path: call.getPath(),
    caller: callerNames(call.getAuthContext().sslPeerCertificate)[0] ?? '',
    signal,
    deadline: Number(call.getDeadline()),
    traceparent: typeof traceparent === 'string' ? traceparent : undefined,
  };
};

const decodeRequest = (decode: MessageCodec['decode'], bytes: Buffer): unknown => {
  try {
    return decode(bytes);
  } catch (error) {
    throw error instanceof AegisError ? error : new AegisError('REQUEST_MALFORMED', '', error);
  }
};

const drained = (call: ServerWritableStream<Buffer, Buffer>, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const go = () => {
      call.removeListener('drain', go);
      signal.removeEventListener('abort', go);
      resolve();
    };
    call.once('drain', go);
    signal.addEventListener('abort', go, { once: true });
  });

const bind = (server: Server, address: string, credentials: ServerCredentials): Promise<number> =>
  new Promise((resolve, reject) =>
    server.bindAsync(address, credentials, (error, port) =>
      error === null
        ? resolve(port)
        : reject(new AegisError('CONFIG_INVALID', `Cannot listen on ${address}: ${error.message}`, error)),
    ),
  );
