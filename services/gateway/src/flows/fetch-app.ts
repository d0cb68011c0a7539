import { AegisError } from '@aegis/errors';
import type { AppBundle } from '../domain/run.ts';
import { unknownIsOver } from './describe-run.ts';
import type { Gateway } from './gateway.ts';

/** The app of a run, byte for byte as it was uploaded, with what others signed of it. */
export const fetchApp = async (gateway: Gateway, runId: bigint, appHash: string): Promise<AppBundle> => {
  if (!/^[0-9a-f]{64}$/.test(appHash)) throw new AegisError('RUN_NOT_ACTIVE', 'No run has an app of that hash.');
  const app = await gateway.aggregator.app(runId, appHash).catch(unknownIsOver);
  return { ...app, verifications: { ...app.verifications, ...(await gateway.appSignatures.of(appHash)) } };
};
