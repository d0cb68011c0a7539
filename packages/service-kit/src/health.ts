import {
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
  HealthService,
} from '@aegis/contracts/grpc/health/v1/health';
import { AegisError } from '@aegis/errors';
import { systemClock } from './clock.ts';
import { type CallContext, type HandlersOf, type LocalService, serviceOf } from './service.ts';

export const healthName = 'grpc.health.v1.Health';

const pollMs = 1_000;

/** grpc.health.v1 for a server that serves the named services; all of them serve while `serving` says so. */
export const healthService = (serving: () => boolean, serviceNames: readonly string[]): LocalService => {
  const names = new Set(['', ...serviceNames]);
  const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;
  const handlers: HandlersOf<HealthService> = {
    check: async ({ service }): Promise<HealthCheckResponse> => {
      if (!names.has(service)) throw new AegisError('METHOD_UNKNOWN', `There is no service ${service}.`);
      return { status: serving() ? SERVING : NOT_SERVING };
    },
    watch: async function* ({ service }, { signal }: CallContext) {
      let last: HealthCheckResponse['status'] | undefined;
      while (!signal.aborted) {
        const status = !names.has(service) ? SERVICE_UNKNOWN : serving() ? SERVING : NOT_SERVING;
        if (status !== last) yield { status };
        last = status;
        await systemClock.sleep(pollMs, signal).catch(() => {});
      }
    },
  };
  return serviceOf(HealthService, handlers);
};
