import { AegisError } from '@aegis/errors';
import type { RoundState } from '../domain/round.ts';
import type { RunRecord } from '../domain/run.ts';
import { type NodeRunView, viewRun } from './get-run.ts';
import type { Ground } from './ground.ts';
import type { RunOwner } from './own-runs.ts';

export interface RunOverview extends NodeRunView {
  /** waiting-for-nodes, training, evaluating, finishing, … ; '' when finished. */
  readonly phase: string;
  readonly round: RoundState | null;
}

/** Newest first. */
export async function listRuns(
  ground: Ground,
  owner: RunOwner,
  range: { limit: number; skip: number },
): Promise<RunOverview[]> {
  const runs = (await ground.stores.runs.list()).sort((a, b) => (b.at.pending ?? 0) - (a.at.pending ?? 0));
  const page = runs.slice(range.skip, range.limit === 0 ? undefined : range.skip + range.limit);
  return Promise.all(page.map((run) => overview(ground, owner, run)));
}

export async function showRun(ground: Ground, owner: RunOwner, runId: bigint): Promise<RunOverview> {
  const kept = await ground.stores.runs.get(runId);
  if (kept === null) throw new AegisError('RUN_NOT_FOUND', `Run ${runId}.`);
  return overview(ground, owner, kept.value);
}

async function overview(ground: Ground, owner: RunOwner, run: RunRecord): Promise<RunOverview> {
  const ours = owner.owned(run.runId)?.current() ?? null;
  const round = run.state === 'finished' ? null : (ours ?? (await ground.stores.rounds.get(run.runId))?.value ?? null);
  return { ...(await viewRun(ground, run)), phase: phaseWord(run, round), round };
}

function phaseWord(run: RunRecord, round: RoundState | null): string {
  if (run.state === 'finished') return '';
  if (round === null || round.stage === 'ended') return 'starting';
  if (round.stage === 'selecting') return 'waiting-for-nodes';
  if (round.stage === 'opening') return 'agreeing-on-masks';
  if (round.stage === 'reserving') return 'reserving-privacy';
  if (round.stage === 'finishing' || round.stage === 'closing') return 'finishing';
  return { train: 'training', evaluate: 'evaluating', 'initial-model': 'fetching-initial-model' }[round.kind];
}
