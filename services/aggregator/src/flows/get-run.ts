import { AegisError } from '@aegis/errors';
import { overridesForNodes } from '../domain/plan.ts';
import type { RunRecord } from '../domain/run.ts';
import type { ConfigEntry } from '../domain/scalar.ts';
import type { Ground } from './ground.ts';

export interface NodeRunView {
  readonly run: RunRecord;
  /** Only keys that the app knows. */
  readonly overrides: readonly ConfigEntry[];
}

/** A run as a node may see it. */
export async function getRun(ground: Ground, runId: bigint): Promise<NodeRunView> {
  const kept = await ground.stores.runs.get(runId);
  if (kept === null) throw new AegisError('RUN_NOT_FOUND', `Run ${runId}.`);
  if (kept.value.state === 'finished') throw new AegisError('RUN_NOT_ACTIVE', `Run ${runId}.`);
  return viewRun(ground, kept.value);
}

export async function viewRun({ stores }: Ground, run: RunRecord): Promise<NodeRunView> {
  const app = await stores.apps.get(run.app.hash);
  const config = new Map((app?.config ?? []).map((entry) => [entry.key, entry.value]));
  return { run, overrides: overridesForNodes(config, new Map(run.overrides.map((entry) => [entry.key, entry.value]))) };
}
