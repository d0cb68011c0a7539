import { EventEmitter, once } from 'node:events';
import { AegisError } from '@aegis/errors';
import { type Logger, orAborted } from '@aegis/service-kit';
import { JetStreamApiError, JetStreamError, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { ClosedConnectionError, type ConnectionOptions, connect, type NatsConnection } from '@nats-io/transport-node';

/** One connection that comes back by itself, and the policy of waiting for it. */
export interface Link {
  readonly connection: NatsConnection;
  readonly jetstream: ReturnType<typeof jetstream>;
  readonly manager: Awaited<ReturnType<typeof jetstreamManager>>;
  readonly log: Logger;
  /** Milliseconds a call waits during an outage. */
  readonly outageWaitMs: number;
  isUp(): boolean;
  onStatus(listener: (up: boolean) => void): () => void;
  /** Resolves when the connection is up; rejects when `signal` aborts. */
  whenUp(signal: AbortSignal): Promise<void>;
  /** A signal that aborts when the connection drops next (at once if it is down), or when `signal` does. */
  dropSignal(signal: AbortSignal): { signal: AbortSignal; release(): void };
  /**
   * Runs `attempt` until it settles for a reason other than an outage, at most for the bound: then STORE_UNAVAILABLE. An attempt may have
   * reached the server although its answer was lost, so it must be safe to repeat.
   */
  call<T>(what: string, attempt: (timeoutMs: number) => Promise<T>): Promise<T>;
  /** Where the connection is a patient one, `work` is repeated until its end is another than STORE_UNAVAILABLE. */
  patiently<T>(work: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export interface LinkOptions {
  connection: ConnectionOptions;
  outageWaitMs: number;
  patient: boolean;
  log: Logger;
}

const attemptMs = 3_000;
const never = new AbortController().signal;
const pauseMs = 100;

export const openLink = async ({ connection: options, outageWaitMs, patient, log }: LinkOptions): Promise<Link> => {
  let closed = false;
  const patiently: Link['patiently'] = async (work) => {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!patient || closed || !(error instanceof AegisError) || error.code !== 'STORE_UNAVAILABLE') throw error;
        log.warn({ err: error }, 'waiting for a store');
      }
    }
  };
  const connection = await patiently(() => firstConnection(options, outageWaitMs));
  const changes = new EventEmitter().setMaxListeners(0);
  let up = true;
  const change = (now: boolean) => {
    if (up === now) return;
    up = now;
    log[up ? 'info' : 'warn']({ server: connection.getServer() }, up ? 'bus is back' : 'bus is away');
    changes.emit('change', up);
  };
  void (async () => {
    for await (const { type } of connection.status()) {
      if (type === 'disconnect') change(false);
      if (type === 'reconnect') change(true);
    }
  })();
  void connection.closed().then((error) => {
    if (error !== undefined && !closed) log.error({ err: error }, 'bus connection was closed for good');
    closed = true;
    change(false);
  });

  const whenUp = async (signal: AbortSignal): Promise<void> => {
    while (!up) {
      signal.throwIfAborted();
      await once(changes, 'change', { signal });
    }
  };

  const dropSignal: Link['dropSignal'] = (signal) => {
    const controller = new AbortController();
    const onChange = () => controller.abort();
    const onAbort = () => controller.abort(signal.reason);
    changes.once('change', onChange);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted || !up) onChange();
    return {
      signal: controller.signal,
      release: () => {
        changes.off('change', onChange);
        signal.removeEventListener('abort', onAbort);
      },
    };
  };

  // nats.js lets a request time out when the connection drops under it; its answer will not come, so try again as soon as possible.
  const untilDrop = async <T>(attempt: Promise<T>): Promise<T> => {
    const life = dropSignal(never);
    try {
      return await orAborted(attempt, life.signal);
    } finally {
      life.release();
    }
  };

  const call: Link['call'] = async (what, attempt) => {
    const until = Date.now() + outageWaitMs;
    for (;;) {
      const left = until - Date.now();
      let reason: unknown;
      try {
        if (closed) throw new ClosedConnectionError();
        if (!up) await whenUp(AbortSignal.timeout(Math.max(left, 0)));
        return await untilDrop(attempt(Math.max(Math.min(attemptMs, until - Date.now()), pauseMs)));
      } catch (error) {
        reason = error;
        if (!closed && !isOutage(error)) throw error;
      }
      if (closed || Date.now() + pauseMs >= until) {
        throw new AegisError('STORE_UNAVAILABLE', `${what}: no answer for ${outageWaitMs / 1000} s.`, reason);
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };

  return {
    connection,
    patiently,
    jetstream: jetstream(connection),
    // checkAPI would be a round trip that may fail; the first call finds out anyway.
    manager: await jetstreamManager(connection, { checkAPI: false, timeout: attemptMs }),
    log,
    outageWaitMs,
    isUp: () => up && !closed,
    onStatus: (listener) => {
      changes.on('change', listener);
      return () => changes.off('change', listener);
    },
    whenUp,
    dropSignal,
    call,
    close: async () => {
      if (closed) return;
      closed = true;
      // Drain hands in what is under way; without a server there is nobody to hand it to.
      await (up ? connection.drain().catch(() => connection.close()) : connection.close());
    },
  };
};

// nats.js can wait for the first server by itself, but then not give up.
const firstConnection = async (options: ConnectionOptions, outageWaitMs: number): Promise<NatsConnection> => {
  for (const until = Date.now() + outageWaitMs; ; ) {
    try {
      return await connect({ ...options, timeout: attemptMs });
    } catch (error) {
      if (Date.now() + pauseMs >= until) {
        const where = [options.servers ?? []].flat().join(', ');
        throw new AegisError('STORE_UNAVAILABLE', `No NATS server at ${where}.`, error);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
};

const unavailable = 503;

// Reasons that pass: nobody there, no answer, or JetStream not (yet) able. Everything else is an answer. Some of these classes are not exported
// by their packages, or come from Node; all of them carry their name.
const outages = new Set([
  'TimeoutError',
  'AbortError',
  'ConnectionError',
  'NoResponders',
  'RequestError',
  'JetStreamNotEnabled',
]);

const isOutage = (error: unknown): boolean =>
  error instanceof Error &&
  (outages.has(error.name) ||
    (error instanceof JetStreamApiError && error.status === unavailable) ||
    (error instanceof JetStreamError && 'code' in error && error.code === unavailable));
