import { createNoopMeter, ProxyTracerProvider } from '@opentelemetry/api';
import { telemetryOf } from './telemetry.ts';

/** Everything off: spans and instruments that do nothing. */
export const noTelemetry = telemetryOf(false, new ProxyTracerProvider().getTracer('off'), createNoopMeter(), {
  renderMetrics: async () => '',
  flush: async () => {},
  shutdown: async () => {},
});
