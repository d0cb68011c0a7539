import { AegisError } from '@aegis/errors';
import { SpanKind } from '@opentelemetry/api';
import type { Logger } from './logger.ts';
import type { CallContext, StreamHandler, UnaryHandler } from './service.ts';
import { failSpan, type Telemetry } from './telemetry.ts';

// What happens around a handler, the same for every transport: deadline, cancellation, span, error policy.

export interface Invocation {
  /** `/aegis.aggregator.v1.Intake/GetRun` */
  readonly path: string;
  readonly caller: string;
  /** Aborts when the caller has gone. */
  readonly signal: AbortSignal;
  /** Unix ms; Infinity when the caller named none. */
  readonly deadline: number;
  readonly traceparent?: string | undefined;
}

export interface Surroundings {
  readonly log: Logger;
  readonly telemetry: Telemetry;
}

/** The reason a handler's signal carries when its caller hung up. */
export const callerGone = new AegisError('UNAVAILABLE', 'The caller has gone.');

export const invokeUnary = async (
  handler: UnaryHandler<unknown, unknown>,
  request: unknown,
  call: Invocation,
  around: Surroundings,
): Promise<unknown> => {
  const { context, release } = openContext(call);
  try {
    return await around.telemetry.inSpan(spanName(call), spanOptions(call), () =>
      orAborted(handler(request, context), context.signal),
    );
  } catch (error) {
    throw publicError(error, call, around.log);
  } finally {
    release();
  }
};

export async function* invokeStream(
  handler: StreamHandler<unknown, unknown>,
  request: unknown,
  call: Invocation,
  around: Surroundings,
): AsyncGenerator<unknown, void, undefined> {
  const { context, abort, release } = openContext(call);
  const span = around.telemetry.startSpan(spanName(call), spanOptions(call));
  const inSpan = <T>(fn: () => T): T => around.telemetry.withSpan(span, fn);
  let iterator: AsyncIterator<unknown> | undefined;
  try {
    iterator = inSpan(() => handler(request, context)[Symbol.asyncIterator]());
    for (;;) {
      const source = iterator;
      const next = await orAborted(
        inSpan(() => source.next()),
        context.signal,
      );
      if (next.done === true) return;
      yield next.value;
    }
  } catch (error) {
    failSpan(span, error);
    throw publicError(error, call, around.log);
  } finally {
    // Wakes a handler that is waiting; not awaited, since one that ignores its signal must not hold the transport.
    abort(callerGone);
    void Promise.resolve(iterator?.return?.()).catch(() => {});
    release();
    span.end();
  }
}

/** Settles like `promise`, or rejects with the signal's reason, whichever comes first. */
export const orAborted = <T>(promise: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    // Also keeps a handler that fails after the caller went from becoming an unhandled rejection.
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });

const spanName = (call: Invocation): string => call.path.slice(1);
const spanOptions = (call: Invocation) => ({
  parent: call.traceparent,
  kind: SpanKind.SERVER,
  attributes: call.caller === '' ? {} : { 'aegis.caller': call.caller },
});

// The service keeps back a slice of its caller's time, so that the innermost one reports what it waited for
// instead of the outermost one a blank time-out.
const sliceOf = (remaining: number): number => Math.min(250, remaining / 10);
const tooLittle = 2;

const openContext = (call: Invocation): { context: CallContext; abort(reason: unknown): void; release(): void } => {
  const controller = new AbortController();
  const abort = (reason: unknown) => controller.abort(reason);
  // A caller's own reason is its own business; ours (DRAINING) the handler may know.
  const onGone = () => abort(call.signal.reason instanceof AegisError ? call.signal.reason : callerGone);
  if (call.signal.aborted) onGone();
  else call.signal.addEventListener('abort', onGone, { once: true });

  let timer: NodeJS.Timeout | undefined;
  let deadline = call.deadline;
  if (Number.isFinite(deadline)) {
    const remaining = deadline - Date.now();
    const slice = sliceOf(remaining);
    deadline -= slice;
    const late = () => abort(new AegisError('DEADLINE', `${spanName(call)} took longer than its caller waits.`));
    if (remaining < tooLittle) late();
    else timer = setTimeout(late, Math.min(remaining - slice, 2 ** 31 - 1));
  }
  return {
    context: { caller: call.caller, signal: controller.signal, deadline, traceparent: call.traceparent },
    abort,
    release: () => {
      clearTimeout(timer);
      call.signal.removeEventListener('abort', onGone);
    },
  };
};

// What may leave the service: the suite's own errors as they are; anything else as INTERNAL, its cause in the log only.
const publicError = (caught: unknown, call: Invocation, log: Logger): AegisError => {
  const error = AegisError.from(caught);
  if (call.signal.aborted) return error;
  if (error.entry.kind === 'internal')
    log.error({ err: error, call: spanName(call), caller: call.caller }, 'call failed');
  else if (error.cause !== undefined)
    log.warn({ err: error, call: spanName(call), caller: call.caller }, 'call refused');
  return new AegisError(error.code, error.detail);
};
