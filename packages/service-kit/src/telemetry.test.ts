import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { recordingTelemetry } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { createTelemetry } from './create-telemetry.ts';
import { noTelemetry } from './no-telemetry.ts';

const about = { service: 'aegis-test', version: '1.2.3' };

describe('telemetry', () => {
  it('builds the tree its code describes: nested, by traceparent, and spans that outlive a function', async () => {
    const { telemetry, trees } = recordingTelemetry();
    const round = telemetry.startSpan('round', { attributes: { 'aegis.round': 3 } });
    await telemetry.withSpan(round, () =>
      telemetry.inSpan('dispatch', {}, async () => {
        await telemetry.inSpan('put task', {}, () => {});
      }),
    );
    await telemetry.inSpan('intake', { parent: telemetry.traceparent(round) }, () => {});
    round.end();
    expect(trees()).toEqual([
      {
        name: 'round',
        attributes: { 'aegis.round': 3 },
        children: [
          { name: 'dispatch', attributes: {}, children: [{ name: 'put task', attributes: {}, children: [] }] },
          { name: 'intake', attributes: {}, children: [] },
        ],
      },
    ]);
  });

  it('takes a malformed traceparent for none', async () => {
    const { telemetry, trees } = recordingTelemetry();
    for (const parent of ['', 'rubbish', `00-${'0'.repeat(32)}-${'1'.repeat(16)}-01`, `00-${'z'.repeat(32)}-x-01`]) {
      await telemetry.inSpan('call', { parent }, () => {});
    }
    expect(trees()).toHaveLength(4);
  });

  it('passes the error on and marks the span', async () => {
    const { telemetry, spans } = recordingTelemetry();
    await expect(
      telemetry.inSpan('x', {}, () => {
        throw new TypeError('secret text');
      }),
    ).rejects.toThrow('secret text');
    expect(spans()[0]?.status).toEqual({ code: 2, message: 'TypeError' });
    expect(JSON.stringify(spans()[0]?.attributes)).not.toContain('secret text');
  });

  it('renders what was counted, and the state of the process, as Prometheus text', async () => {
    const telemetry = createTelemetry({ ...about, env: {} });
    telemetry.meter.createCounter('aegis_updates_total').add(3, { outcome: 'accepted' });
    telemetry.meter.createHistogram('aegis_round_seconds').record(1.5);
    const text = await telemetry.renderMetrics();
    expect(text).toMatch(/^aegis_updates_total\{outcome="accepted".*\} 3$/m);
    expect(text).toMatch(/^aegis_round_seconds_count(\{.*\})? 1$/m);
    expect(text).toMatch(/^aegis_event_loop_lag_seconds\{.*stat="p99".*\} [\d.e-]+$/m);
    expect(text).toMatch(/^aegis_event_loop_lag_seconds\{.*stat="max".*\} [\d.e-]+$/m);
    const rss = /^process_resident_memory_bytes(?:\{.*\})? (\d+)$/m.exec(text)?.[1];
    expect(Number(rss)).toBeGreaterThan(10_000_000);
    expect(text).toMatch(/^process_cpu_seconds_total(\{.*\})? [\d.]+$/m);
    expect(text).toMatch(/service_name="aegis-test"/);
    await telemetry.shutdown();
  });

  it('records no span when nothing asks for them, and nothing at all when disabled', async () => {
    const telemetry = createTelemetry({ ...about, env: {} });
    expect(telemetry.tracing).toBe(false);
    const recorded = await telemetry.inSpan('x', {}, (span) => span.isRecording() || telemetry.traceparent());
    expect(recorded).toBeUndefined();
    await telemetry.shutdown();
    expect(createTelemetry({ ...about, env: { OTEL_SDK_DISABLED: 'true' } })).toBe(noTelemetry);
    expect(createTelemetry({ ...about, env: {}, metrics: false })).toBe(noTelemetry);
    expect(await noTelemetry.renderMetrics()).toBe('');
  });

  it('sends spans and metrics by OTLP to the standard endpoint', async () => {
    const paths = new Map<string | undefined, Buffer>();
    const collector = createServer(async (request, response) => {
      paths.set(request.url, Buffer.concat(await Array.fromAsync(request)));
      response.end();
    });
    await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
    const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
    // The exporters read the process's environment, as an operator sets it.
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = endpoint;
    try {
      const telemetry = createTelemetry(about);
      await telemetry.inSpan('exported-span', {}, () => telemetry.meter.createCounter('exported_total').add(1));
      await telemetry.flush();
      await telemetry.shutdown();
    } finally {
      delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
      collector.close();
    }
    expect(paths.get('/v1/traces')?.includes('exported-span')).toBe(true);
    expect(paths.get('/v1/metrics')?.includes('exported_total')).toBe(true);
  });
});
