import { AegisError } from '@aegis/errors';
import { getRun } from './get-run.ts';
import type { Ground } from './ground.ts';

/** The bundle of a run, byte for byte. A hash that is not the run's own is refused: one run does not open another's app. */
export async function getApp(ground: Ground, runId: bigint, hash: string): Promise<{ hash: string; fab: Buffer }> {
  const { run } = await getRun(ground, runId);
  const wanted = hash === '' ? run.app.hash : hash;
  const fab = wanted === run.app.hash ? await ground.stores.apps.fab(wanted) : null;
  if (fab === null) throw new AegisError('APP_NOT_FOUND', `Run ${runId} has the app ${run.app.hash}.`);
  return { hash: wanted, fab };
}
