import { createTelemetry } from '@aegis/service-kit';
import { expect, it } from 'vitest';
import { type Driven, watchRuns } from './measures.ts';

it('shows the run that stood still for longest of each stage, and now where there is none', async () => {
  const telemetry = createTelemetry({ service: 'aegis-test', version: '1', env: {} });
  let driven: Driven[] = [
    { stage: 'collecting', progressAt: 40_000 },
    { stage: 'collecting', progressAt: 20_000 },
  ];
  let now = 90_000;
  watchRuns(
    telemetry,
    () => now,
    () => driven,
  );
  const of = async (name: string, stage: string): Promise<number> => {
    const series = new RegExp(`^${name}\\{[^}]*stage="${stage}"[^}]*\\} (\\S+)$`, 'm');
    return Number(series.exec(await telemetry.renderMetrics())?.[1]);
  };
  expect(await of('aegis_runs_open', 'collecting')).toBe(2);
  expect(await of('aegis_run_progress_timestamp_seconds', 'collecting')).toBe(20);
  expect(await of('aegis_run_progress_timestamp_seconds', 'selecting')).toBe(90);
  // the runs have moved on: nothing of them stays behind to alarm anybody
  driven = [];
  now = 120_000;
  expect(await of('aegis_runs_open', 'collecting')).toBe(0);
  expect(await of('aegis_run_progress_timestamp_seconds', 'collecting')).toBe(120);
  await telemetry.shutdown();
});
