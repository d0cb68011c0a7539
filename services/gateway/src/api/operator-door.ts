import { AegisError } from '@aegis/errors';
import { drained } from '@aegis/flower-wire';
import { type LocalService, type MethodDefinition, messageCodec, toGrpcStatus } from '@aegis/service-kit';
import type {
  Metadata,
  Server,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
} from '@grpc/grpc-js';
import { type Account, actorOfAccount } from '../domain/account.ts';
import { demandRole } from '../flows/identify-operator.ts';
import type { Counted, Door } from './counted.ts';

type RawCall = ServerUnaryCall<Buffer, Buffer> | ServerWritableStream<Buffer, Buffer>;
type Handler = (request: unknown, call: { caller: string; signal: AbortSignal; deadline: number }) => unknown;

export interface ServiceDoor {
  /** What handlers are told of a caller; `peer`: its address and port. */
  readonly callerOf?: CallerOf;
  /** Refusals are counted under. */
  readonly door?: Door;
}
type CallerOf = (metadata: Metadata, peer: string) => string;
const nobody: CallerOf = () => '';

/** Serves `service` on a gRPC server that others share. For the operator's, grpc-admission.ts has checked the token before. */
export const addServiceDoor = (
  server: Server,
  service: LocalService,
  counted: Counted,
  { callerOf = nobody, door = 'operator' }: ServiceDoor = {},
): void => {
  const definition: Record<string, unknown> = {};
  const handlers: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(service.definition)) {
    const handler = service.handlers[name] as Handler;
    definition[name] = { ...method, ...asBytes };
    handlers[name] = method.responseStream
      ? streaming(method, handler, counted, callerOf)
      : unary(method, handler, counted, callerOf, door);
  }
  server.addService(definition as ServiceDefinition, handlers as Record<string, never>);
};

/** Whom each call that was let in belongs to: asked once, so that a token taken back meanwhile leaves no call without an owner. */
const admitted = new WeakMap<Metadata, Account>();

/** By what handlers are told of a call. */
const accounts = new WeakMap<object, Account>();

/** Whose call it is, as handlers of the operator's door are told of it; everyone of theirs has one. */
export const accountOfCall = (call: object): Account => {
  const account = accounts.get(call);
  if (account === undefined) throw new AegisError('OPERATOR_UNAUTHENTICATED');
  return account;
};

/** Who the call is from that was let in with this metadata, as the audit log says it. */
export const admittedOperator = (metadata: Metadata): string => {
  const account = admitted.get(metadata);
  return account === undefined ? '' : actorOfAccount(account);
};

/** Lets the account's call of this method in. OPERATOR_FORBIDDEN names its roles. */
export const admitOperator = (metadata: Metadata, account: Account, rpc: string): void => {
  demandRole(account, `${rpc.charAt(0).toLowerCase()}${rpc.slice(1)}`);
  admitted.set(metadata, account);
};

const same = (bytes: Buffer): Buffer => bytes;
const asBytes = {
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};

const unary =
  (method: MethodDefinition, handler: Handler, counted: Counted, callerOf: CallerOf, door: Door) =>
  (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void => {
    const serve = async (): Promise<Buffer> => {
      const request = open(method, call);
      return encoderOf(method)(await handler(request, contextOf(call, callerOf)));
    };
    serve().then(
      (bytes) => answer(null, bytes),
      (caught: unknown) => answer(refusal(method, caught, counted, door)),
    );
  };

const streaming =
  (method: MethodDefinition, handler: Handler, counted: Counted, callerOf: CallerOf) =>
  (call: ServerWritableStream<Buffer, Buffer>): void => {
    const context = contextOf(call, callerOf);
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

const contextOf = (call: RawCall, callerOf: CallerOf) => {
  const gone = new AbortController();
  call.once('cancelled', () => gone.abort(new AegisError('UNAVAILABLE', 'The caller has gone.')));
  const deadline = Number(call.getDeadline());
  const context = { caller: callerOf(call.metadata, call.getPeer()), signal: gone.signal, deadline };
  const account = admitted.get(call.metadata);
  if (account !== undefined) accounts.set(context, account);
  return context;
};

const refusal = (method: MethodDefinition, caught: unknown, counted: Counted, door: Door = 'operator') => {
  const error = AegisError.from(caught);
  const outcome = toGrpcStatus(error);
  counted.refused(door, error, { path: method.path, status: outcome.code });
  return outcome;
};
