import type { LocalService } from '@aegis/service-kit';

/** A message as text in which bytes are characters of one byte each. */
const textOf = (message: unknown): string =>
  JSON.stringify(message, (_key, value) => {
    if (typeof value === 'bigint') return value.toString();
    if (value?.type === 'Buffer') return Buffer.from(value.data).toString('latin1');
    return value;
  });

export interface Said {
  readonly method: string;
  readonly request: string;
  /** Every message of the answer. */
  readonly response: string;
}

/** The same service; every call that it answers is kept in `into`. */
export const recorded = (service: LocalService, into: Said[]): LocalService => {
  const handlers = Object.fromEntries(
    Object.entries(service.handlers).map(([method, handler]) => {
      const call = handler as (request: unknown, context: unknown) => unknown;
      const keep = (request: unknown, response: string): void =>
        void into.push({ method, request: textOf(request), response });
      if (!service.definition[method]?.responseStream) {
        return [
          method,
          async (request: unknown, context: unknown) => {
            const response = await call(request, context);
            keep(request, textOf(response));
            return response;
          },
        ];
      }
      return [
        method,
        async function* (request: unknown, context: unknown) {
          for await (const response of call(request, context) as AsyncIterable<unknown>) {
            keep(request, textOf(response));
            yield response;
          }
        },
      ];
    }),
  );
  return { ...service, handlers } as LocalService;
};
