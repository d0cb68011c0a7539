import { AegisError } from '@aegis/errors';
import type { RunView } from '../domain/run.ts';
import type { Gateway } from './gateway.ts';

/** The run as a node may see it. To a node, a run nobody knows is a run that is over: it goes on with its next task. */
export const describeRun = (gateway: Gateway, runId: bigint): Promise<RunView> =>
  gateway.aggregator.run(runId).catch(unknownIsOver);

export const unknownIsOver = (caught: unknown): never => {
  const error = AegisError.from(caught);
  if (error.entry.kind === 'not-found') throw new AegisError('RUN_NOT_ACTIVE', error.message, error);
  throw error;
};
