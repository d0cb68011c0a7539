import { createHash, timingSafeEqual } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { type LocalService, type MethodDefinition, messageCodec, type Secret, toGrpcStatus } from '@aegis/service-kit';
import type {
  Metadata,
  Server,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
} from '@grpc/grpc-js';
import type { Counted } from './counted.ts';

type RawCall = ServerUnaryCall<Buffer, Buffer> | ServerWritableStream<Buffer, Buffer>;
type Handler = (request: unknown, call: { caller: string; signal: AbortSignal; deadline: number }) => unknown;

/** Serves `service` on a gRPC server that others share. For the operator's, `operatorAdmission` has checked the token before. */
export const addServiceDoor = (server: Server, service: LocalService, counted: Counted): void => {
  const definition: Record<string, unknown> = {};
  const handlers: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(service.definition)) {
    const handler = service.handlers[name] as Handler;
    definition[name] = { ...method, ...asBytes };
    handlers[name] = method.responseStream ? streaming(method, handler, counted) : unary(method, handler, counted);
  }
  server.addService(definition as ServiceDefinition, handlers as Record<string, never>);
};

/** No token = nobody. Compares hashes: neither the length nor the place of the first difference shows in the time it takes. */
export const checkToken = (metadata: Metadata, token: Secret | undefined): void => {
  const header = metadata.get('authorization')[0];
  const given = typeof header === 'string' ? /^Bearer +(\S+)$/i.exec(header)?.[1] : undefined;
  if (token && given && timingSafeEqual(digest(given), digest(token.reveal()))) return;
  throw new AegisError('OPERATOR_UNAUTHENTICATED');
};

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

const same = (bytes: Buffer): Buffer => bytes;
const asBytes = {
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};

const unary =
  (method: MethodDefinition, handler: Handler, counted: Counted) =>
  (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void => {
    const serve = async (): Promise<Buffer> => {
      const request = open(method, call);
      return encoderOf(method)(await handler(request, contextOf(call)));
    };
    serve().then(
      (bytes) => answer(null, bytes),
      (caught: unknown) => answer(refusal(method, caught, counted)),
    );
  };

const streaming =
  (method: MethodDefinition, handler: Handler, counted: Counted) =>
  (call: ServerWritableStream<Buffer, Buffer>): void => {
    const context = contextOf(call);
    const serve = async (): Promise<void> => {
      const encode = encoderOf(method);
      const answers = handler(open(method, call), context) as AsyncIterable<unknown>;
      for await (const message of answers) {
        if (context.signal.aborted) return;
        if (!call.write(encode(message))) await drained(call, context.signal);
      }
    };
    serve().then(
      () => call.end(),
      (caught: unknown) => {
        if (context.signal.aborted) call.end();
        else call.emit('error', refusal(method, caught, counted));
      },
    );
  };

const open = (method: MethodDefinition, call: RawCall): unknown => {
  try {
    return messageCodec(method.requestSerialize, method.requestDeserialize).decode(call.request);
  } catch (cause) {
    throw cause instanceof AegisError ? cause : new AegisError('REQUEST_MALFORMED', '', cause);
  }
};

const encoderOf = (method: MethodDefinition) =>
  messageCodec(method.responseSerialize, method.responseDeserialize).encode;

const contextOf = (call: RawCall) => {
  const gone = new AbortController();
  call.once('cancelled', () => gone.abort(new AegisError('UNAVAILABLE', 'The caller has gone.')));
  return { caller: 'operator', signal: gone.signal, deadline: Number(call.getDeadline()) };
};

const refusal = (method: MethodDefinition, caught: unknown, counted: Counted) => {
  const error = AegisError.from(caught);
  const outcome = toGrpcStatus(error);
  counted.refused('operator', error, { path: method.path, status: outcome.code });
  return outcome;
};

const drained = (call: ServerWritableStream<Buffer, Buffer>, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      call.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    call.once('drain', done);
    signal.addEventListener('abort', done, { once: true });
  });
