import { AegisError } from '@aegis/errors';
import { createLogger, noTelemetry } from '@aegis/service-kit';
import { FakeClock } from '@aegis/testkit';
import { expect, it } from 'vitest';
import { countedBy } from './counted.ts';

it('writes a warning with the address of a caller who may not come in, and no second one within ten seconds', async () => {
  const written: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => written.push(JSON.parse(line)) };
  const clock = new FakeClock();
  const audit: unknown[] = [];
  const counted = countedBy(noTelemetry, createLogger({ name: 'test', destination }), clock, {
    noteSoon: (noted) => void audit.push(noted),
  });
  const at = { path: 'control/register-node', status: 403, peer: '192.0.2.7' };
  for (let call = 0; call < 3; call += 1) counted.refused('grpc', new AegisError('CONTROL_NOT_HERE', 'because'), at);
  counted.refused('http', new AegisError('NODE_SIGNATURE'), { path: '/v1/fleet/get-run', status: 401, peer: at.peer });
  counted.refused('http', new AegisError('REQUEST_MALFORMED'), { path: '/v1/fleet/get-run', status: 400 });
  await clock.advance(10_000);
  counted.refused('grpc', new AegisError('CONTROL_NOT_HERE', 'because'), at);
  expect(written).toMatchObject([
    { level: 'warn', code: 'CONTROL_NOT_HERE', door: 'grpc', detail: 'because', ...at, suppressed: 0 },
    { level: 'warn', code: 'NODE_SIGNATURE', door: 'http', status: 401, peer: '192.0.2.7', suppressed: 0 },
    { level: 'warn', code: 'CONTROL_NOT_HERE', door: 'grpc', ...at, suppressed: 2 },
  ]);
  const refused = { event: 'caller-refused', actor: '192.0.2.7' };
  expect(audit).toEqual([
    { ...refused, subject: 'grpc control/register-node', detail: 'CONTROL_NOT_HERE' },
    { ...refused, subject: 'http /v1/fleet/get-run', detail: 'NODE_SIGNATURE' },
    { ...refused, subject: 'grpc control/register-node', detail: 'CONTROL_NOT_HERE, and 2 more like it' },
  ]);
});
