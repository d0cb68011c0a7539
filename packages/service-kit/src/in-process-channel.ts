import { AegisError } from '@aegis/errors';
import { invokeStream, invokeUnary, type Surroundings } from './invoke.ts';
import { createLogger } from './logger.ts';
import { noTelemetry } from './no-telemetry.ts';
import {
  type CallOptions,
  type LocalService,
  type ServiceChannel,
  type ServiceClient,
  type ServiceDefinition,
  type StreamHandler,
  serviceNameOf,
  type UnaryHandler,
} from './service.ts';

/** Milliseconds a unary call is waited for unless its caller says otherwise. */
export const defaultTimeoutMs = 30_000;

const neverAborted = new AbortController().signal;

/**
 * Calls handlers in the same process: no codec, no copy, Buffers by reference. Deadlines, cancellation, spans and errors
 * behave exactly as over gRPC; one suite runs against both.
 */
export const inProcessChannel = (
  services: readonly LocalService[],
  { log = createLogger({ name: 'in-process', level: 'warn' }), telemetry = noTelemetry }: Partial<Surroundings> = {},
): ServiceChannel => {
  let closed = false;
  const byName = new Map(services.map((service) => [service.name, service]));
  const around = { log, telemetry };

  const invocation = (path: string, options: CallOptions, timeoutMs: number | undefined) => {
    if (closed) throw new AegisError('UNAVAILABLE');
    return {
      path,
      caller: '',
      signal: options.signal ?? neverAborted,
      deadline: timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs,
      traceparent: options.traceparent ?? telemetry.traceparent(),
    };
  };

  const methodOf = (service: LocalService, name: string, path: string, responseStream: boolean) => {
    const handler = service.handlers[name];
    return responseStream
      ? async function* (request: unknown, options: CallOptions = {}) {
          options.signal?.throwIfAborted();
          const call = invocation(path, options, options.timeoutMs);
          try {
            yield* invokeStream(handler as StreamHandler<unknown, unknown>, request, call, around);
          } catch (error) {
            options.signal?.throwIfAborted();
            throw error;
          }
        }
      : async (request: unknown, options: CallOptions = {}) => {
          options.signal?.throwIfAborted();
          const call = invocation(path, options, options.timeoutMs ?? defaultTimeoutMs);
          try {
            return await invokeUnary(handler as UnaryHandler<unknown, unknown>, request, call, around);
          } catch (error) {
            options.signal?.throwIfAborted();
            throw error;
          }
        };
  };

  return {
    client: <D extends object>(definition: D): ServiceClient<D> => {
      const name = serviceNameOf(definition);
      const service = byName.get(name);
      if (service === undefined) throw new AegisError('METHOD_UNKNOWN', `${name} is not served in this process.`);
      const methods = Object.entries(definition as unknown as ServiceDefinition).map(
        ([method, { path, responseStream }]) => [method, methodOf(service, method, path, responseStream)],
      );
      return Object.fromEntries(methods) as ServiceClient<D>;
    },
    ready: async () => !closed,
    close: async () => {
      closed = true;
    },
  };
};
