import type { Bus } from '@aegis/bus';
import { openKeys, openS3, type S3Config } from '@aegis/cloud';
import {
  type Clock,
  type LocalService,
  type Logger,
  type Random,
  systemClock,
  systemRandom,
  type Telemetry,
  watchVolume,
} from '@aegis/service-kit';
import { ledgerService } from './api/ledger.ts';
import { operatorService } from './api/operator.ts';
import { readerService } from './api/reader.ts';
import type { AccountantConfig } from './config.ts';
import { Alerts } from './flows/alerts.ts';
import { coreAccounting } from './flows/core-accounting.ts';
import type { Ground } from './flows/ground.ts';
import { Ledger } from './flows/ledger.ts';
import { createMeasures, watchLedger } from './flows/measures.ts';
import { type Outside, openDurableStores } from './store/durable/index.ts';

export { type AccountantConfig, accountantConfig } from './config.ts';

export interface AccountantDeps {
  readonly bus: Bus;
  readonly telemetry: Telemetry;
  readonly log: Logger;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface Accountant {
  /** Ledger, LedgerReader and LedgerOperator, for whichever transport. */
  readonly services: LocalService[];
  /** Does this process write the ledger now? Of several only one does. */
  isOpen(): boolean;
  /** Does it know whether it writes the ledger, stands by, or refuses a damaged one? */
  isSettled(): boolean;
  /** Answers what is under way and gives the ledger away. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/** Opens the ledger, or stands by. One that does not verify is served all the same: it refuses everything and says why. */
export async function startAccountant(config: AccountantConfig, deps: AccountantDeps): Promise<Accountant> {
  const { bus, telemetry, log, clock = systemClock, random = systemRandom } = deps;
  const { close: closeOutside, ...outside } = await openOutside(config);
  const stores = await openDurableStores(bus, config['state-dir'], { ...outside, log, clock });
  const measures = createMeasures(telemetry);
  const ledgerGround = { stores, accounting: coreAccounting(), clock, random, telemetry, measures, log };
  const ledger = new Ledger(ledgerGround, {
    owner: stores.owner,
    leaseMs: config['lease-seconds'] * 1000,
    acceptHead: config['accept-head'],
  });
  watchLedger(telemetry, ledgerGround.accounting, () => ledger.shown);
  watchVolume(telemetry.meter, 'privacy-accountant', config['state-dir']);
  await ledger.start();
  const alerts = new Alerts(clock, log, measures);
  const ground: Ground = { ...ledgerGround, ledger, alerts, signer: stores.signer };

  let drained: Promise<void> | undefined;
  const drain = (): Promise<void> => {
    drained ??= ledger.close();
    return drained;
  };
  return {
    services: [ledgerService(ground), readerService(ground), operatorService(ground)],
    isOpen: () => ledger.isOpen,
    isSettled: () => ledger.isSettled,
    drain,
    close: async () => {
      await drain();
      await stores.close();
      closeOutside();
    },
  };
}

async function openOutside(config: AccountantConfig): Promise<Outside & { close: () => void }> {
  const { 'anchor-file': file, keys } = config;
  const { name = '', ...place } = config['anchor-s3'] ?? {};
  const objects = config['anchor-s3'] && (await openS3(place as S3Config));
  const wrapping = keys && (await openKeys(keys));
  return {
    anchor: objects ? { objects, name } : file === undefined ? undefined : { file },
    keys: wrapping?.wrapper,
    close: () => {
      objects?.close();
      wrapping?.close();
    },
  };
}
