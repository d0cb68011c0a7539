import { availableParallelism } from 'node:os';
import type { Bus } from '@aegis/bus';
import { type Clock, type LocalService, type Logger, systemClock, type Telemetry } from '@aegis/service-kit';
import { relayService } from './api/relay.ts';
import { roundsService } from './api/rounds.ts';
import { readFederationRoots, type SecaggConfig } from './config.ts';
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
  const file = config['federation-root'];
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
    roots: file === undefined ? [] : readFederationRoots(file),
    threads: config.threads ?? availableParallelism(),
  };
  if (ground.roots.length === 0) log.info('no federation-root: masked rounds are refused');
  return {
    services: [relayService(ground), roundsService(ground)],
    drain: async () => rounds.drain(),
  };
}
