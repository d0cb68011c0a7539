import { AegisError, type ErrorCode } from '@aegis/errors';
import type { CallOptions, Clock, ServiceChannel, ServiceClient, ServiceDefinition } from '@aegis/service-kit';
import type { RunOwners } from './run-owners.ts';

export interface Aggregators {
  /** Where calls go that are about no run; the first that answers takes them. */
  readonly addresses: readonly [string, ...string[]];
  readonly owners: RunOwners;
  readonly open: (address: string) => ServiceChannel;
  readonly clock: Clock;
  /** From here on no call about a run waits long, for a new owner or for one that does not answer: the process drains, and callers find another gateway. Default: never. */
  readonly hurried?: AbortSignal;
}

/** Only the owner of the run can answer these. All of them may be repeated. */
const aboutRun = new Set(['missingParts', 'appendPart', 'readPart', 'submitUpdate', 'failTask', 'stopRun']);
/** What one aggregator does not have, another may have on its own volume. */
const elsewhere: Readonly<Record<string, readonly ErrorCode[]>> = {
  getApp: ['APP_NOT_FOUND'],
  describeModel: ['MODEL_NOT_FOUND'],
  readModel: ['MODEL_NOT_FOUND'],
  exportModel: ['MODEL_NOT_FOUND'],
  startRun: ['MODEL_NOT_FOUND'],
  takeOverRun: ['MODEL_NOT_FOUND', 'APP_NOT_FOUND'],
};
/** It may have happened although no answer came. */
const onlyOnce = new Set(['startRun']);
const goneCodes: readonly ErrorCode[] = ['UNAVAILABLE', 'DRAINING'];

const DEFAULT_TIMEOUT_MS = 30_000;
/** How long a call waits for a run to have an owner that answers. A lease and a little, and less than nodes wait for an answer. */
const PATIENCE_MS = 20_000;
const PAUSE_MS = 250;
/** For an answer once the process drains, from then or from the call's beginning. Less than the port gives its callers. */
const HURRIED_MS = 2_000;
const KNOWN_MODELS = 64;
const never = new AbortController().signal;

interface Request {
  readonly runId?: bigint;
  readonly task?: { readonly runId: bigint };
  readonly modelId?: string;
}
type Unary = (request: unknown, options?: CallOptions) => Promise<unknown>;
type Stream = (request: unknown, options?: CallOptions) => AsyncIterable<unknown>;

/**
 * Several aggregators as one. A call about a run goes to the run's owner, as the leases name it; when that one is gone, the call waits for
 * the next owner as long as its caller waits. A call that any may answer goes to the first that does. A model is read where it is: each
 * volume has its own.
 */
export const aggregatorsChannel = ({
  addresses,
  owners,
  open,
  clock,
  hurried = never,
}: Aggregators): ServiceChannel => {
  const channels = new Map<string, ServiceChannel>();
  const modelsAt = new Map<string, string>();
  const channelTo = (address: string): ServiceChannel => {
    const channel = channels.get(address) ?? open(address);
    channels.set(address, channel);
    return channel;
  };
  const clients = new Map<string, Map<object, Record<string, unknown>>>();
  const methodAt = <M>(address: string, definition: object, method: string): M => {
    const known = clients.get(address) ?? new Map<object, Record<string, unknown>>();
    clients.set(address, known);
    const client = known.get(definition) ?? (channelTo(address).client(definition) as unknown as Record<string, M>);
    known.set(definition, client);
    return client[method] as M;
  };

  const everywhere = (modelId: string | undefined): string[] => {
    const known = modelsAt.get(modelId ?? '');
    return [...new Set([...(known === undefined ? [] : [known]), ...addresses, ...owners.addresses()])];
  };
  const rememberModel = (modelId: string | undefined, address: string): void => {
    if (modelId === undefined || modelId === '') return;
    modelsAt.delete(modelId);
    modelsAt.set(modelId, address);
    for (const oldest of modelsAt.keys()) if (modelsAt.size > KNOWN_MODELS) modelsAt.delete(oldest);
  };

  /** One after the other until one answers. Who is out of reach may have what the others have not. */
  const goesOn = (method: string, error: unknown): boolean => {
    const { code } = AegisError.from(error);
    return elsewhere[method]?.includes(code) || (goneCodes.includes(code) && !onlyOnce.has(method));
  };
  const worse = (before: unknown, now: unknown): unknown =>
    before !== undefined && goneCodes.includes(AegisError.from(before).code) ? before : now;

  const anyone =
    (definition: object, method: string): Unary =>
    async (request, options) => {
      let failure: unknown;
      const candidates = everywhere((request as Request).modelId);
      for (const [i, address] of candidates.entries()) {
        // a call that is made only once is made where somebody answers
        if (onlyOnce.has(method) && i + 1 < candidates.length && !(await channelTo(address).ready())) continue;
        try {
          const answer = await methodAt<Unary>(address, definition, method)(request, options);
          if (elsewhere[method] !== undefined) rememberModel((request as Request).modelId, address);
          return answer;
        } catch (error) {
          if (options?.signal?.aborted || !goesOn(method, error)) throw error;
          failure = worse(failure, error);
        }
      }
      throw failure;
    };

  const anyoneStreams = (definition: object, method: string): Stream =>
    async function* (request, options) {
      let failure: unknown;
      for (const address of everywhere((request as Request).modelId)) {
        let begun = false;
        try {
          for await (const item of methodAt<Stream>(address, definition, method)(request, options)) {
            begun = true;
            yield item;
          }
          return;
        } catch (error) {
          if (begun || options?.signal?.aborted || !goesOn(method, error)) throw error;
          failure = worse(failure, error);
        }
      }
      throw failure;
    };

  /** `late` runs `ms` after the signal, or after now if that is later; not any more once the returned function was called. */
  const after = (signal: AbortSignal, ms: number, late: () => void): (() => void) => {
    let timer: { cancel(): void } | undefined;
    const begin = () => {
      timer = clock.schedule(ms, late);
    };
    if (signal.aborted) begin();
    else signal.addEventListener('abort', begin, { once: true });
    return () => {
      signal.removeEventListener('abort', begin);
      timer?.cancel();
    };
  };

  const owner =
    (definition: object, method: string): Unary =>
    async (request, options = {}) => {
      const { runId, task } = request as Request;
      const id = task?.runId ?? runId ?? 0n;
      const begun = clock.monotonic();
      const { timeoutMs: patience = DEFAULT_TIMEOUT_MS } = options;
      for (let tries = 0; ; tries += 1) {
        const known = owners.addressOf(id);
        const address = known === undefined || known === '' ? (addresses[tries % addresses.length] as string) : known;
        const moved = new AbortController();
        const stop = owners.onChange(id, () =>
          moved.abort(new AegisError('UNAVAILABLE', `Run ${id} has a new owner.`)),
        );
        const unanswered = () => moved.abort(new AegisError('UNAVAILABLE', `The owner of run ${id} does not answer.`));
        const calm = after(hurried, HURRIED_MS, unanswered);
        try {
          const signal = AbortSignal.any([moved.signal, ...(options.signal ? [options.signal] : [])]);
          const timeoutMs = Math.max(patience - (clock.monotonic() - begun), 1);
          return await methodAt<Unary>(address, definition, method)(request, { ...options, signal, timeoutMs });
        } catch (error) {
          const waited = clock.monotonic() - begun + PAUSE_MS;
          const enough = hurried.aborted || waited >= Math.min(patience, PATIENCE_MS);
          if (options.signal?.aborted || enough || !goneCodes.includes(AegisError.from(error).code)) throw error;
          // the lease may name the new owner any moment, or the old one is back
          const woken = AbortSignal.any([moved.signal, hurried]);
          if (!woken.aborted) await clock.sleep(PAUSE_MS, woken).catch(() => {});
        } finally {
          stop();
          calm();
        }
      }
    };

  return {
    client: <D extends object>(definition: D) =>
      Object.fromEntries(
        Object.entries(definition as unknown as ServiceDefinition).map(([method, { responseStream }]) => {
          if (responseStream) return [method, anyoneStreams(definition, method)];
          return [method, aboutRun.has(method) ? owner(definition, method) : anyone(definition, method)];
        }),
      ) as ServiceClient<D>,
    ready: async () => (await Promise.all(addresses.map((address) => channelTo(address).ready()))).includes(true),
    close: async () => {
      await Promise.all([...channels.values()].map((channel) => channel.close()));
    },
  };
};
