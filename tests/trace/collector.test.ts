// A real OpenTelemetry collector with the configuration that operators get, between the real suite and whoever stores traces. `make e2e-trace`.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createTelemetry, type Telemetry } from '@aegis/service-kit';
import { eventually, freePort } from '@aegis/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GUARDS, ObservedSuite } from '../suite/observed-suite.ts';
import { TraceReceiver } from './trace-receiver.ts';

const root = join(import.meta.dirname, '../..');
/** One in ten of so many is some, and far from all. */
const ORDINARY = 200;
const SERVICES = ['aegis-aggregator', 'aegis-gateway', 'aegis-guard', 'aegis-privacy-accountant', 'aegis-secagg'];

let receiver: TraceReceiver;
let collector: ChildProcess;
let guards: Telemetry;
let said = '';
beforeAll(async () => {
  receiver = await TraceReceiver.start();
  const [grpc, http, health] = [await freePort(), await freePort(), await freePort()];
  collector = spawn(
    join(root, '.cache/bin/otelcol-aegis'),
    [
      ...['--config', join(root, 'deploy/observability/otelcol/config.yaml')],
      // the same exporter, in a form that this test reads
      ...['--config', 'yaml:exporters::otlp_http::encoding: json'],
    ],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        ...process.env,
        AEGIS_OTLP_GRPC: `127.0.0.1:${grpc}`,
        AEGIS_OTLP_HTTP: `127.0.0.1:${http}`,
        AEGIS_COLLECTOR_HEALTH: `127.0.0.1:${health}`,
        AEGIS_TRACES_ENDPOINT: receiver.url,
        AEGIS_DECISION_WAIT: '25s',
        AEGIS_AFTER_ROUND: '8s',
        // every round is slow enough to be kept
        AEGIS_SLOW_ROUND_MS: '1',
      },
    },
  );
  collector.stderr?.on('data', (piece: Buffer) => (said += piece));
  await eventually(() => fetch(`http://127.0.0.1:${health}`), 30_000).catch((error) => {
    throw new Error(`${error}\n${said}`);
  });
  const sending = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${http}`, OTEL_BSP_SCHEDULE_DELAY: '200' };
  // guards run in this process, and the exporter reads the variables of its own
  Object.assign(process.env, sending);
  guards = createTelemetry({ service: 'aegis-guard', version: '0.1.0', metrics: false });
  await using suite = await ObservedSuite.start(sending, guards);
  await suite.trainPrivately();
  expect(await suite.refusedRun()).toContain('PRIVACY_BUDGET_EXHAUSTED');
  const [aggregator] = suite.cluster.aggregators;
  if (aggregator === undefined) throw new Error('there is no aggregator');
  const runs = suite.cluster.runs(aggregator);
  for (let i = 0; i < ORDINARY; i += 1) await runs.listRuns({ limit: 1, skip: 0 });
  await guards.flush();
  // the collector waits for spans that are under way
  await eventually(() => receiver.traces().some((trace) => trace.some(({ name }) => name === 'round')), 60_000);
  await eventually(() => refused().length > 0, 60_000);
  await eventually(() => ordinary().length > 0, 60_000);
}, 240_000);
afterAll(async () => {
  const exited = new Promise((resolve) => collector.once('exit', resolve));
  collector.kill('SIGTERM');
  await exited;
  await guards.shutdown();
  receiver.close();
});

const ordinary = () => receiver.traces().filter((trace) => trace.every(({ name }) => name.endsWith('Runs/ListRuns')));
const refused = () =>
  receiver.traces().filter((trace) => trace.some((span) => span.attributes.get('aegis.ledger.outcome') === 'refused'));

it('keeps the trace of a round whole: one root, every parent there, all four services and the guards', () => {
  const rounds = receiver.traces().filter((trace) => trace.some(({ name }) => name === 'round'));
  expect(rounds).toHaveLength(1);
  const [round = []] = rounds;
  const ids = new Set(round.map(({ spanId }) => spanId));
  expect(ids.size).toBe(round.length);
  const roots = round.filter(({ parentSpanId }) => parentSpanId === '');
  expect(roots.map(({ name, service }) => ({ name, service }))).toEqual([
    { name: 'round', service: 'aegis-aggregator' },
  ]);
  const orphans = round.filter(({ parentSpanId }) => parentSpanId !== '' && !ids.has(parentSpanId));
  expect(orphans).toEqual([]);
  expect([...new Set(round.map(({ service }) => service))].sort()).toEqual(SERVICES);

  const of = (service: string, name: string) => round.filter((span) => span.service === service && span.name === name);
  for (const stage of ['advertise', 'share', 'mask', 'confirm', 'unmask'])
    expect(of('aegis-guard', `guard.secagg.${stage}`), stage).toHaveLength(GUARDS);
  expect(of('aegis-guard', 'guard.offer')).toHaveLength(GUARDS);
  expect(of('aegis-guard', 'guard.answer')).toHaveLength(GUARDS);
  expect(of('aegis-gateway', 'gateway.submit-update')).toHaveLength(GUARDS);
  expect(of('aegis-secagg', 'secagg.total-mask')).toHaveLength(1);
  for (const name of ['reserve', 'commit']) expect(of('aegis-privacy-accountant', name)).toHaveLength(1);
});

it('keeps what the ledger refused, up to the call that asked for it', () => {
  expect(refused()).toHaveLength(1);
  const services = new Set(refused().flatMap((trace) => trace.map(({ service }) => service)));
  expect(services).toContain('aegis-privacy-accountant');
  expect(services).toContain('aegis-aggregator');
});

it('keeps some of the rest, and by far not all', () => {
  expect(ordinary().length).toBeGreaterThan(0);
  expect(ordinary().length).toBeLessThan(ORDINARY / 3);
});
