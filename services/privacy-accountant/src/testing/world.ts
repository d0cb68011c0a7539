import { generateKeyPairSync } from 'node:crypto';
import { noTelemetry, silentLogger, type Telemetry } from '@aegis/service-kit';
import { FakeClock, seededRandom } from '@aegis/testkit';
import { Alerts } from '../flows/alerts.ts';
import type { Ground } from '../flows/ground.ts';
import { Ledger, type LedgerTerms } from '../flows/ledger.ts';
import { createMeasures } from '../flows/measures.ts';
import type { ReserveAsked } from '../flows/reserve.ts';
import type { Stores } from '../store/contract.ts';
import { MemoryPlace, memoryStores } from '../store/memory/index.ts';
import { closedFormAccounting } from './closed-form-accounting.ts';

const signer = generateKeyPairSync('ed25519').privateKey;
let instances = 0;

/** One accountant on a place that others may share. */
export async function startWorld(
  place = new MemoryPlace(),
  options: Partial<LedgerTerms> & { clock?: FakeClock; stores?: Stores; telemetry?: Telemetry } = {},
) {
  const { clock = new FakeClock(), stores = memoryStores(place), telemetry = noTelemetry, ...terms } = options;
  instances += 1;
  const measures = createMeasures(telemetry);
  const random = seededRandom(instances);
  const base = { stores, accounting: closedFormAccounting, clock, random, telemetry, measures, log: silentLogger };
  const ledger = new Ledger(base, { owner: 'one-state-directory', leaseMs: 5_000, ...terms });
  await ledger.start();
  const alerts = new Alerts(clock, silentLogger, measures);
  const ground: Ground = { ...base, ledger, alerts, signer };
  return { ground, clock, place, ledger, close: () => ledger.close() };
}

export const gaussian = (noise: number, count = 1): string =>
  JSON.stringify({ mechanism: 'gaussian', 'noise-multiplier': noise, relation: 'add-or-remove-one', count });

export const tree = (noise: number, steps: number[], epochs: number): string =>
  JSON.stringify({ mechanism: 'tree', 'noise-multiplier': noise, steps, epochs, relation: 'zero-out', count: 1 });

export const unit = (number: number): string => `unit-${number.toString().padStart(16, '0')}`;

export const policyOf = (runId: bigint, changes: Partial<ReserveAsked['policy']> = {}): ReserveAsked['policy'] => ({
  ...{ runId, dataset: 'ward', partition: '', unit: 'node', epsilon: 0, delta: 0, schedule: [] },
  ...changes,
});

export const asked = (runId: bigint, round: number, changes: Partial<ReserveAsked> = {}): ReserveAsked => ({
  key: `${runId}/${round}/1/update`,
  policy: policyOf(runId),
  units: [1, 2, 3].map(unit),
  events: [gaussian(10)],
  ...changes,
});
