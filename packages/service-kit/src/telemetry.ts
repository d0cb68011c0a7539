import { AegisError } from '@aegis/errors';
import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  type Meter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';

export interface SpanOptions {
  /** W3C traceparent of a span elsewhere. Default: the span this code runs in. */
  parent?: string | undefined;
  attributes?: Attributes;
  kind?: SpanKind;
  /** Unix ms; default now. For spans opened after the fact. */
  startTime?: number;
}

/**
 * Traces and metrics by hand: nothing patches modules, so what is traced is what the code says.
 * Attributes name runs, nodes and parts; never a payload or a key.
 */
export interface Telemetry {
  /** False: spans go nowhere. Skip work done only for them. */
  readonly tracing: boolean;
  readonly tracer: Tracer;
  readonly meter: Meter;
  /** Runs `fn` inside a span and ends it; a rejection marks it failed. */
  inSpan<T>(name: string, options: SpanOptions, fn: (span: Span) => T | Promise<T>): Promise<T>;
  /** A span that outlives one function (a round). The caller ends it. */
  startSpan(name: string, options?: SpanOptions): Span;
  /** Runs `fn` with `span` as the active one. */
  withSpan<T>(span: Span, fn: () => T): T;
  /** Of the given span, else of the active one; undefined when nothing records. */
  traceparent(span?: Span): string | undefined;
  /** Everything measured, as Prometheus reads it. '' when metrics are off. */
  renderMetrics(): Promise<string>;
  flush(): Promise<void>;
  shutdown(): Promise<void>;
}

/** Parts of a Telemetry that do not depend on which providers stand behind it. */
export const telemetryOf = (
  tracing: boolean,
  tracer: Tracer,
  meter: Meter,
  ends: Pick<Telemetry, 'renderMetrics' | 'flush' | 'shutdown'>,
): Telemetry => {
  const startSpan = (name: string, options: SpanOptions = {}): Span =>
    tracer.startSpan(
      name,
      {
        kind: options.kind ?? SpanKind.INTERNAL,
        ...(options.attributes !== undefined && { attributes: options.attributes }),
        ...(options.startTime !== undefined && { startTime: options.startTime }),
      },
      options.parent === undefined ? context.active() : contextOf(options.parent),
    );
  const withSpan = <T>(span: Span, fn: () => T): T =>
    tracing ? context.with(trace.setSpan(context.active(), span), fn) : fn();
  return {
    tracing,
    tracer,
    meter,
    startSpan,
    withSpan,
    inSpan: async (name, options, fn) => {
      const span = startSpan(name, options);
      if (!tracing) return fn(span);
      try {
        return await withSpan(span, () => fn(span));
      } catch (error) {
        failSpan(span, error);
        throw error;
      } finally {
        span.end();
      }
    },
    traceparent: (span = trace.getActiveSpan()) => {
      const spanContext = span?.spanContext();
      if (spanContext === undefined || !isSpanContextValid(spanContext)) return undefined;
      const flags = (spanContext.traceFlags & 0xff).toString(16).padStart(2, '0');
      return `00-${spanContext.traceId}-${spanContext.spanId}-${flags}`;
    },
    ...ends,
  };
};

/** Marks a span failed with the error's code; its text stays in the log. */
export const failSpan = (span: Span, error: unknown): void => {
  if (!span.isRecording()) return;
  const code = error instanceof AegisError ? error.code : error instanceof Error ? error.name : 'unknown';
  span.setAttribute('error.type', code);
  span.setStatus({ code: SpanStatusCode.ERROR, message: code });
};

const traceparentForm = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

// A malformed traceparent starts a new trace: it comes from outside, and a bad header is no reason to fail a call.
const contextOf = (traceparent: string): Context => {
  const [, traceId, spanId, flags] = traceparentForm.exec(traceparent) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return ROOT_CONTEXT;
  const traceFlags = Number.parseInt(flags, 16) & TraceFlags.SAMPLED;
  const spanContext = { traceId, spanId, traceFlags, isRemote: true };
  return isSpanContextValid(spanContext) ? trace.setSpanContext(ROOT_CONTEXT, spanContext) : ROOT_CONTEXT;
};
