import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTelemetry } from './create-telemetry.ts';
import { type MetricsDoor, serveMetrics } from './metrics-door.ts';

let door: MetricsDoor;
let reason: string | null = 'starting';
const ask = async (path: string, method = 'GET') => {
  const answer = await fetch(`http://127.0.0.1:${door.port}${path}`, { method });
  return { status: answer.status, text: await answer.text() };
};

beforeAll(async () => {
  const telemetry = createTelemetry({ service: 'test', version: '0', env: {} });
  telemetry.meter.createCounter('aegis_test_calls').add(2);
  door = await serveMetrics('127.0.0.1:0', telemetry, () => reason);
});
afterAll(() => door.close());

it('is alive before it is ready, and says why it is not', async () => {
  expect(await ask('/livez')).toEqual({ status: 200, text: 'alive\n' });
  expect(await ask('/readyz')).toEqual({ status: 503, text: 'starting\n' });
  reason = null;
  expect(await ask('/readyz')).toEqual({ status: 200, text: 'ready\n' });
  reason = 'draining';
  expect(await ask('/readyz')).toEqual({ status: 503, text: 'draining\n' });
});

it('gives metrics, and nothing else', async () => {
  expect((await ask('/metrics')).text).toMatch(/^aegis_test_calls_total.* 2$/m);
  expect(await ask('/')).toMatchObject({ status: 404 });
  expect(await ask('/readyz', 'POST')).toMatchObject({ status: 405 });
});
