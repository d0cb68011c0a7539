import { AegisError } from '@aegis/errors';
import type { Ground } from './ground.ts';
import type { RunOwner } from './own-runs.ts';

/** Withdraws what nodes have not answered and finishes the run as stopped; returns when that is durable. */
export async function stopRun({ stores }: Ground, owner: RunOwner, runId: bigint): Promise<void> {
  const kept = await stores.runs.get(runId);
  if (kept === null) throw new AegisError('RUN_NOT_FOUND', `Run ${runId}.`);
  if (kept.value.state === 'finished') throw new AegisError('RUN_FINISHED', `Run ${runId} is ${kept.value.outcome}.`);
  await (await owner.driver(runId)).stop();
  const after = (await stores.runs.get(runId))?.value;
  if (after?.state !== 'finished') throw new AegisError('UNAVAILABLE', `Run ${runId} was not stopped.`);
}
