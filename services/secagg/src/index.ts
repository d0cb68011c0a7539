import { availableParallelism } from 'node:os';
import type { Bus } from '@aegis/bus';
import {
  type Clock,
  type LocalService,
  type Logger,
  SigningTrust,
  systemClock,
  type Telemetry,
} from '@aegis/service-kit';
import { relayService } from './api/relay.ts';
import { roundsService } from './api/rounds.ts';
import type { SecaggConfig } from './config.ts';
import { LiveRounds } from './flows/live-rounds.ts';
import { createMeasures } from './flows/measures.ts';
import { DurableRoundStore } from './store/durable.ts';

export { type SecaggConfig, secaggConfig } from './config.ts';

export interface SecaggDeps {
  readonly bus: Bus;
  readonly telemetry: Telemetry;
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface Secagg {
  /** Relay and Rounds, for whichever transport. */
  readonly services: LocalService[];
  /** Lets go whoever waits. What was written stays: any process of the service goes on with it. */
  drain(): Promise<void>;
}

/** Begins to serve masked rounds. Rounds under way come back from the store when somebody asks about them. */
export async function startSecagg(config: SecaggConfig, deps: SecaggDeps): Promise<Secagg> {
  const { bus, telemetry, log, clock = systemClock } = deps;
  const { 'federation-root': roots, 'federation-crl': crl } = config;
  const trust = roots === undefined ? null : await SigningTrust.open({ roots, crl });
  const store = await DurableRoundStore.open(bus);
  const measures = createMeasures(telemetry);
  const roundGround = { store, clock, telemetry, measures, log };
  const rounds = new LiveRounds(roundGround);
  telemetry.meter
    .createObservableGauge('aegis_secagg_rounds', { description: 'Masked rounds in hand' })
    .addCallback((result) => result.observe(rounds.size));
  const ground = {
    ...roundGround,
    rounds,
    trust,
    threads: config.threads ?? availableParallelism(),
  };
  if (trust === null) log.info('no federation-root: masked rounds are refused');
  const stopLooking = trust?.watch(clock, log);
  return {
    services: [relayService(ground), roundsService(ground)],
    drain: async () => {
      stopLooking?.();
      rounds.drain();
    },
  };
}
