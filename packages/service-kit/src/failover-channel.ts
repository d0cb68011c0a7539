import { AegisError, type ErrorCode } from '@aegis/errors';
import type { CallOptions, ServiceChannel, ServiceClient, ServiceDefinition } from './service.ts';

type Unary = (request: unknown, options?: CallOptions) => Promise<unknown>;
type Stream = (request: unknown, options?: CallOptions) => AsyncIterable<unknown>;

/** What a process says that stands by, ends, or is not there. */
const elsewhere: readonly ErrorCode[] = ['UNAVAILABLE', 'DRAINING'];

/**
 * Several processes of which one answers and the others stand by. A call goes to the one that answered last, and on UNAVAILABLE or DRAINING to each of the
 * others, once; a stream only as long as nothing of it has come. A call whose answer was lost may so be made twice: for services whose
 * callers repeat calls anyway.
 */
export const failoverChannel = (channels: readonly [ServiceChannel, ...ServiceChannel[]]): ServiceChannel => {
  let last = 0;
  const order = (): number[] => channels.map((_, i) => (last + i) % channels.length);
  const goesOn = (error: unknown, options: CallOptions | undefined): boolean =>
    !options?.signal?.aborted && elsewhere.includes(AegisError.from(error).code);

  const unary =
    (calls: readonly Unary[]): Unary =>
    async (request, options) => {
      let failure: unknown;
      for (const i of order()) {
        try {
          const answer = await (calls[i] as Unary)(request, options);
          last = i;
          return answer;
        } catch (error) {
          failure = error;
          if (!goesOn(error, options)) throw error;
        }
      }
      throw failure;
    };
  const stream = (calls: readonly Stream[]): Stream =>
    async function* (request, options) {
      let failure: unknown;
      for (const i of order()) {
        let begun = false;
        try {
          for await (const item of (calls[i] as Stream)(request, options)) {
            begun = true;
            last = i;
            yield item;
          }
          return;
        } catch (error) {
          failure = error;
          if (begun || !goesOn(error, options)) throw error;
        }
      }
      throw failure;
    };

  return {
    client: <D extends object>(definition: D) => {
      const clients = channels.map((channel) => channel.client(definition) as unknown as Record<string, never>);
      return Object.fromEntries(
        Object.entries(definition as unknown as ServiceDefinition).map(([method, { responseStream }]) => {
          const calls = clients.map((client) => client[method] as never);
          return [method, responseStream ? stream(calls) : unary(calls)];
        }),
      ) as ServiceClient<D>;
    },
    ready: async () => (await Promise.all(channels.map((channel) => channel.ready()))).includes(true),
    close: async () => {
      await Promise.all(channels.map((channel) => channel.close()));
    },
  };
};
