import { AegisError } from '@aegis/errors';

/** One method of a ts-proto service definition (`outputServices=grpc-js`). */
export interface MethodDefinition {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: the generated codecs are contravariant in a type only they know
  readonly requestSerialize: (value: any) => Buffer;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly requestDeserialize: (bytes: Buffer) => any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly responseSerialize: (value: any) => Buffer;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly responseDeserialize: (bytes: Buffer) => any;
}
export type ServiceDefinition = Readonly<Record<string, MethodDefinition>>;

/** What a handler knows of its call. */
export interface CallContext {
  /** Name in the caller's certificate; '' in process and without TLS. */
  readonly caller: string;
  /** Aborted when the caller has gone, or shortly before its deadline: pass it on to everything awaited. */
  readonly signal: AbortSignal;
  /** Unix ms by which the caller stops waiting; Infinity when it said nothing. */
  readonly deadline: number;
  readonly traceparent?: string | undefined;
}
export type UnaryHandler<Req, Res> = (request: Req, call: CallContext) => Promise<Res>;
export type StreamHandler<Req, Res> = (request: Req, call: CallContext) => AsyncIterable<Res>;

export type RequestOf<M> = M extends { readonly requestDeserialize: (bytes: Buffer) => infer Req } ? Req : never;
export type ResponseOf<M> = M extends { readonly responseDeserialize: (bytes: Buffer) => infer Res } ? Res : never;

/** The handlers a definition asks for: an async function per unary method, an async generator per server stream. */
export type HandlersOf<D> = {
  -readonly [K in keyof D]: D[K] extends { readonly responseStream: true }
    ? StreamHandler<RequestOf<D[K]>, ResponseOf<D[K]>>
    : UnaryHandler<RequestOf<D[K]>, ResponseOf<D[K]>>;
};

export interface CallOptions {
  /** Abort to give the call up; it rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds the answer is waited for: DEADLINE after that. Unary default 30 s; streams have none unless given. */
  timeoutMs?: number | undefined;
  /** Default: the active span's. */
  traceparent?: string | undefined;
}

export type ServiceClient<D> = {
  readonly [K in keyof D]: D[K] extends { readonly responseStream: true }
    ? (request: RequestOf<D[K]>, options?: CallOptions) => AsyncIterable<ResponseOf<D[K]>>
    : (request: RequestOf<D[K]>, options?: CallOptions) => Promise<ResponseOf<D[K]>>;
};

/** The way to another service, whatever carries it. Errors arrive as AegisError with the code the handler threw. */
export interface ServiceChannel {
  client<D extends object>(definition: D): ServiceClient<D>;
  /** Does the other side answer now? Never throws. */
  ready(): Promise<boolean>;
  close(): Promise<void>;
}

/** A service implemented by plain async functions on decoded messages; serveGrpc and inProcessChannel both take it. */
export interface LocalService {
  /** As in the proto: `aegis.aggregator.v1.Intake`. */
  readonly name: string;
  readonly definition: ServiceDefinition;
  readonly handlers: Readonly<Record<string, UnaryHandler<unknown, unknown> | StreamHandler<unknown, unknown>>>;
}

export const serviceOf = <D extends object>(definition: D, handlers: HandlersOf<D>): LocalService => {
  const name = serviceNameOf(definition);
  const methods = Object.entries(definition as unknown as ServiceDefinition);
  for (const [method, { requestStream }] of methods) {
    if (requestStream) throw new AegisError('INTERNAL', `${name}.${method} streams requests; this kit serves none.`);
    if (typeof (handlers as Record<string, unknown>)[method] !== 'function') {
      throw new AegisError('INTERNAL', `${name}.${method} has no handler.`);
    }
  }
  const unknown = Object.keys(handlers).find((handler) => !Object.hasOwn(definition, handler));
  if (unknown !== undefined) throw new AegisError('INTERNAL', `${name} has no method ${unknown}.`);
  return {
    name,
    definition: definition as unknown as ServiceDefinition,
    handlers: handlers as unknown as LocalService['handlers'],
  };
};

/** `/aegis.aggregator.v1.Intake/GetRun` → `aegis.aggregator.v1.Intake`. */
export const serviceNameOf = (definition: object): string => {
  const path = Object.values(definition as ServiceDefinition)[0]?.path.split('/')[1];
  if (path === undefined) throw new AegisError('INTERNAL', 'A service definition has no method.');
  return path;
};
