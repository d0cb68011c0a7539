import { createRequire } from 'node:module';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { context, createNoopMeter, type Meter, ProxyTracerProvider } from '@opentelemetry/api';
import type { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import type { BasicTracerProvider, SpanProcessor } from '@opentelemetry/sdk-trace-node';
import { noTelemetry } from './no-telemetry.ts';
import { type Telemetry, telemetryOf } from './telemetry.ts';

export interface TelemetryOptions {
  /** `service.name`: aegis-gateway, aegis-aggregator; `aegis` for all of them in one process. */
  service: string;
  version: string;
  /** Where the standard OTEL_* variables are looked for; default process.env. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Keep metrics for renderMetrics(); default true. */
  metrics?: boolean;
  /** More receivers of spans: an in-memory exporter in tests. */
  spanProcessors?: readonly SpanProcessor[];
}

// Loaded when something asks for it: a process without telemetry pays neither the time nor the memory of the SDK.
const load = createRequire(import.meta.url) as {
  (name: '@opentelemetry/context-async-hooks'): typeof import('@opentelemetry/context-async-hooks');
  (name: '@opentelemetry/resources'): typeof import('@opentelemetry/resources');
  (name: '@opentelemetry/sdk-trace-node'): typeof import('@opentelemetry/sdk-trace-node');
  (name: '@opentelemetry/sdk-metrics'): typeof import('@opentelemetry/sdk-metrics');
  (name: '@opentelemetry/exporter-trace-otlp-proto'): typeof import('@opentelemetry/exporter-trace-otlp-proto');
  (name: '@opentelemetry/exporter-metrics-otlp-proto'): typeof import('@opentelemetry/exporter-metrics-otlp-proto');
  (name: '@opentelemetry/exporter-prometheus'): typeof import('@opentelemetry/exporter-prometheus');
};

/**
 * Spans go out by OTLP when OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) is set, metrics when it (or …_METRICS_ENDPOINT) is; the
 * exporters read the other standard variables themselves. OTEL_SDK_DISABLED=true turns everything off.
 */
export const createTelemetry = (options: TelemetryOptions): Telemetry => {
  const { service, version, env = process.env, metrics = true, spanProcessors = [] } = options;
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true') return noTelemetry;
  const exports = (signal: 'TRACES' | 'METRICS'): boolean =>
    [env.OTEL_EXPORTER_OTLP_ENDPOINT, env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`]].some(Boolean);
  const traces = exports('TRACES');
  const pushes = exports('METRICS');
  if (!traces && !pushes && !metrics && spanProcessors.length === 0) return noTelemetry;

  const resource = resourceOf(service, version);
  const tracing = traces || spanProcessors.length > 0;
  const tracer = tracing ? tracerProvider(resource, traces, spanProcessors) : undefined;
  const meter = metrics || pushes ? meterProvider(resource, metrics, pushes) : undefined;
  const api = (meter?.provider ?? { getMeter: createNoopMeter }).getMeter('aegis', version);
  const stopWatching = meter === undefined ? () => {} : watchProcess(api);

  return telemetryOf(tracing, (tracer ?? new ProxyTracerProvider()).getTracer('aegis', version), api, {
    renderMetrics: meter?.render ?? (async () => ''),
    flush: async () => {
      await Promise.allSettled([tracer?.forceFlush(), meter?.provider.forceFlush()]);
    },
    shutdown: async () => {
      stopWatching();
      // A collector that is away must not hold up or fail a shutdown.
      await Promise.allSettled([tracer?.shutdown(), meter?.provider.shutdown()]);
    },
  });
};

type Resource = ReturnType<typeof resourceOf>;

const resourceOf = (service: string, version: string) => {
  const { defaultResource, detectResources, envDetector, resourceFromAttributes } = load('@opentelemetry/resources');
  return defaultResource()
    .merge(resourceFromAttributes({ 'service.name': service, 'service.version': version }))
    .merge(detectResources({ detectors: [envDetector] })); // OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME
};

const tracerProvider = (
  resource: Resource,
  exports: boolean,
  spanProcessors: readonly SpanProcessor[],
): BasicTracerProvider => {
  const { BasicTracerProvider, BatchSpanProcessor } = load('@opentelemetry/sdk-trace-node');
  // "The active span" needs the one global of OpenTelemetry's API; a second registration keeps the first.
  const { AsyncLocalStorageContextManager } = load('@opentelemetry/context-async-hooks');
  if (!contextManaged) contextManaged = context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const exporters = exports
    ? [new BatchSpanProcessor(new (load('@opentelemetry/exporter-trace-otlp-proto').OTLPTraceExporter)())]
    : [];
  return new BasicTracerProvider({ resource, spanProcessors: [...exporters, ...spanProcessors] });
};
let contextManaged = false;

const meterProvider = (
  resource: Resource,
  renders: boolean,
  pushes: boolean,
): { provider: MeterProvider; render?: () => Promise<string> } => {
  const { MeterProvider, PeriodicExportingMetricReader } = load('@opentelemetry/sdk-metrics');
  const readers: MetricReader[] = [];
  let render: (() => Promise<string>) | undefined;
  if (renders) {
    const { PrometheusExporter, PrometheusSerializer } = load('@opentelemetry/exporter-prometheus');
    const reader = new PrometheusExporter({ preventServerStart: true });
    const serializer = new PrometheusSerializer();
    render = async () => serializer.serialize((await reader.collect()).resourceMetrics);
    readers.push(reader);
  }
  if (pushes) {
    const { OTLPMetricExporter } = load('@opentelemetry/exporter-metrics-otlp-proto');
    readers.push(new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter() }));
  }
  const provider = new MeterProvider({ resource, readers });
  return render === undefined ? { provider } : { provider, render };
};

const lagWindowMs = 10_000;

// How long the event loop kept others waiting, over the last full window, and what the process takes of the machine.
const watchProcess = (meter: Meter): (() => void) => {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const seconds = () => ({ p99: delay.percentile(99) / 1e9, max: delay.max / 1e9 });
  let window: ReturnType<typeof seconds> | undefined;
  const timer = setInterval(() => {
    window = seconds();
    delay.reset();
  }, lagWindowMs).unref();

  meter
    .createObservableGauge('aegis_event_loop_lag_seconds', { description: 'Event loop delay over the last 10 s' })
    .addCallback((result) => {
      const { p99, max } = window ?? seconds();
      result.observe(p99, { stat: 'p99' });
      result.observe(max, { stat: 'max' });
    });
  meter
    .createObservableGauge('process_resident_memory_bytes', { description: 'Resident set size' })
    .addCallback((result) => result.observe(process.memoryUsage.rss()));
  meter
    .createObservableCounter('process_cpu_seconds_total', { description: 'User and system CPU time' })
    .addCallback((result) => {
      const { user, system } = process.cpuUsage();
      result.observe((user + system) / 1e6);
    });
  const startedAt = performance.timeOrigin / 1000;
  meter
    .createObservableGauge('process_start_time_seconds', { description: 'When the process started, Unix seconds' })
    .addCallback((result) => result.observe(startedAt));
  return () => {
    clearInterval(timer);
    delay.disable();
  };
};
