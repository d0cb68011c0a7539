import { AegisError } from '@aegis/errors';
import type { RunOwner } from '../domain/run.ts';
import type { ConfigEntry } from '../domain/task.ts';
import type { StartedRun } from '../peers/contract.ts';
import type { Gateway } from './gateway.ts';

/** The one federation there is, under the name Flower gives it. */
export const FEDERATION = '@none/default';

/** An app becomes a run. The plan is checked whole before the first task leaves, so a wrong one is refused here. */
export const startRun = async (
  gateway: Gateway,
  fab: Buffer,
  overrides: readonly ConfigEntry[],
  federation: string,
  owner?: RunOwner,
): Promise<StartedRun> => {
  if (federation.startsWith('@') && federation !== FEDERATION) {
    throw new AegisError('FEDERATION_NOT_FOUND', `There is only ${FEDERATION}.`);
  }
  const started = await gateway.runs.startRun(fab, overrides, FEDERATION, owner);
  gateway.log.info({ run: started.runId }, 'run started');
  return started;
};
