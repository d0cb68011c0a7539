// The life of a run: pending → starting → running → finished (completed, failed, stopped), and which phase comes next.

import type { MaskedOutcome } from './masking.ts';
import type { ModelVersion } from './model.ts';
import type { Plan, TaskKind } from './plan.ts';
import { hidesCohort, type ReleasedRound, type RoundPrivacy } from './private-round.ts';
import type { NodeOutcome } from './round.ts';
import { type ConfigEntry, mergeEntries } from './scalar.ts';
import { afterRound, type Participation, treeRound } from './tree-plan.ts';

export type RunState = 'pending' | 'starting' | 'running' | 'finished';
export type RunOutcome = 'completed' | 'failed' | 'stopped';

export interface AppRef {
  readonly appId: string;
  readonly version: string;
  readonly hash: string;
}

/** The account that started a run, as the gateway knew it. */
export interface AccountRef {
  readonly id: string;
  readonly name: string;
}

export interface PhaseId {
  readonly kind: TaskKind;
  /** 0 for the initial model. */
  readonly round: number;
}

export interface RoundSummary {
  readonly round: number;
  readonly cohort: number;
  readonly accepted: number;
  readonly refused: number;
  readonly dropped: number;
  readonly seconds: number;
  readonly modelId: string;
  readonly trainMetrics: readonly ConfigEntry[];
  readonly evaluated: number;
  readonly evaluateMetrics: readonly ConfigEntry[];
  /** Unix milliseconds when its model was made. */
  readonly at: number;
  /** Of a private run: what was released, and what it has cost so far. */
  readonly privacy?: ReleasedRound | undefined;
  /** Of a masked run: who took part in the sum of training. */
  readonly masked?: MaskedOutcome | undefined;
}

export interface RunRecord {
  readonly runId: bigint;
  readonly seriesId: bigint;
  /** Epoch of the owner's lease. Every owner writes its own before anything else, so that an older owner's writes fail. */
  readonly fence: number;
  readonly app: AppRef;
  readonly federation: string;
  readonly overrides: readonly ConfigEntry[];
  readonly plan: Plan;
  readonly state: RunState;
  readonly outcome: RunOutcome | null;
  readonly details: string;
  /** Unix milliseconds; null = not yet. */
  readonly at: Readonly<Record<RunState, number | null>>;
  /** What round 1 starts from, and the newest; null until a node has given the first one. */
  readonly startModelId: string | null;
  readonly modelId: string | null;
  /** Of each of its models: all have the same arrays. */
  readonly modelBytes: number;
  /** The phase under way, or to be begun; null when finished. */
  readonly phase: PhaseId | null;
  /** Rounds finished. */
  readonly round: number;
  readonly history: readonly RoundSummary[];
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Of a run with tree noise: who was asked in the rounds that have ended. */
  readonly participation?: Participation | undefined;
  /** Absent: started without an account. */
  readonly startedBy?: AccountRef | undefined;
}

/** How a phase ended, as far as the run is concerned. */
export interface PhaseReport {
  readonly outcome: 'completed' | 'skipped' | 'failed' | 'stopped';
  readonly reason: string;
  readonly nodes: readonly NodeOutcome[];
  readonly metrics: readonly ConfigEntry[];
  /** The model made; null for evaluations and when there is none. */
  readonly modelId: string | null;
  readonly modelBytes: number;
  readonly seconds: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly privacy?: ReleasedRound | undefined;
  readonly masked?: MaskedOutcome | undefined;
  /** Of a round with tree noise: the units that were asked, in all its attempts. */
  readonly asked?: readonly string[] | undefined;
}

export type NewRun = Pick<
  RunRecord,
  'runId' | 'seriesId' | 'app' | 'federation' | 'overrides' | 'plan' | 'modelId' | 'modelBytes' | 'startedBy'
>;

export function newRun(run: NewRun, now: number): RunRecord {
  return {
    ...run,
    startModelId: run.modelId,
    fence: 0,
    state: 'pending',
    outcome: null,
    details: '',
    at: { pending: now, starting: null, running: null, finished: null },
    phase: run.modelId === null ? { kind: 'initial-model', round: 0 } : { kind: 'train', round: 1 },
    round: 0,
    history: [],
    bytesSent: 0,
    bytesReceived: 0,
  };
}

/** An owner takes the run over; the record with its fence must be saved before it does anything else. */
export function claim(run: RunRecord, fence: number, now: number): RunRecord {
  return run.state === 'pending'
    ? { ...run, fence, state: 'starting', at: { ...run.at, starting: now } }
    : { ...run, fence };
}

export const begin = (run: RunRecord, now: number): RunRecord =>
  run.state === 'starting' ? { ...run, state: 'running', at: { ...run.at, running: now } } : run;

export function stop(run: RunRecord, now: number): RunRecord {
  return run.state === 'finished'
    ? run
    : finish(run, 'stopped', `Stopped in round ${currentRound(run)} of ${run.plan.rounds}.`, now);
}

export const fail = (run: RunRecord, reason: string, now: number): RunRecord =>
  run.state === 'finished' ? run : finish(run, 'failed', reason, now);

/** Records how the phase went and names the next one, or finishes the run. */
export function endPhase(run: RunRecord, report: PhaseReport, now: number): RunRecord {
  const { phase } = run;
  if (phase === null) return run;
  // how much went to and fro tells how many were asked
  const isOpen = !(phase.kind === 'train' && hidesCohort(run.plan.privacy));
  const counted: RunRecord = {
    ...run,
    bytesSent: run.bytesSent + (isOpen ? report.bytesSent : 0),
    bytesReceived: run.bytesReceived + (isOpen ? report.bytesReceived : 0),
    modelId: report.modelId ?? run.modelId,
    modelBytes: report.modelId === null ? run.modelBytes : report.modelBytes,
    ...participationAfter(run, phase, report),
  };
  if (report.outcome === 'stopped') return stop(counted, now);
  if (report.outcome === 'failed') return fail(counted, report.reason, now);
  if (phase.kind === 'initial-model')
    return { ...counted, startModelId: counted.modelId, phase: { kind: 'train', round: 1 } };
  const recorded = { ...counted, history: record(counted, phase, report, now) };
  if (phase.kind === 'train' && evaluationIsDue(run.plan, phase.round)) {
    return { ...recorded, phase: { kind: 'evaluate', round: phase.round } };
  }
  const done = { ...recorded, round: phase.round };
  if (phase.round < run.plan.rounds) return { ...done, phase: { kind: 'train', round: phase.round + 1 } };
  return finish(done, 'completed', '', now);
}

function participationAfter(
  { plan, participation = new Map() }: RunRecord,
  { round }: PhaseId,
  { asked }: PhaseReport,
) {
  const tree = plan.privacy?.tree;
  if (tree === undefined || asked === undefined) return {};
  return { participation: afterRound(participation, treeRound(tree, round), asked) };
}

/** The rules of a round of training; undefined: the run is not private. */
export function roundPrivacy({ plan, history }: RunRecord, round: number): RoundPrivacy | undefined {
  const { privacy } = plan;
  if (privacy === undefined) return undefined;
  if (privacy.noiseMultiplier === null) throw new Error('a private run was accepted without its noise');
  return {
    sampling: privacy.sampling,
    clip: history.at(-1)?.privacy?.nextClip ?? privacy.clip,
    noiseMultiplier: privacy.noiseMultiplier,
    adapts: privacy.adaptive !== null,
    weightMax: privacy.weightMax,
    denominator: privacy.denominator,
    ...(privacy.tree && { tree: treeRound(privacy.tree, round) }),
  };
}

/** Every `aegis.evaluate.every` rounds, and after the last. */
export function evaluationIsDue(plan: Plan, round: number): boolean {
  return plan.evaluate.fraction > 0 && (round % plan.evaluate.every === 0 || round === plan.rounds);
}

/** The models a run made, with where each came from, oldest first. Read off its record: what the record does not say did not happen. */
export function versionsOf(run: RunRecord): ModelVersion[] {
  const common = { name: '', runId: run.runId, bytes: run.modelBytes };
  let parentId = run.startModelId ?? '';
  const versions: ModelVersion[] = [];
  if (run.plan.initialModel.from === 'node' && run.startModelId !== null && !leavesStartModel(run)) {
    const createdAt = run.at.running ?? 0;
    versions.push({ ...common, modelId: run.startModelId, round: 0, cohort: 1, createdAt, parentId: '', metrics: [] });
  }
  for (const { round, modelId, accepted, at, trainMetrics, evaluateMetrics } of run.history) {
    const metrics = mergeEntries(trainMetrics, evaluateMetrics);
    versions.push({ ...common, modelId, round, cohort: accepted, createdAt: at, parentId, metrics });
    parentId = modelId;
  }
  return versions;
}

/** It brought its own first model, or a node gave it, and it ended before any round made something of that. */
export const leavesStartModel = (run: RunRecord): boolean =>
  run.state === 'finished' && run.history.length === 0 && ['file', 'node'].includes(run.plan.initialModel.from);

/** Of what it needs, or has to show. */
export const referencesModel = (run: RunRecord, modelId: string): boolean =>
  !leavesStartModel(run) &&
  (run.startModelId === modelId || run.modelId === modelId || run.history.some((round) => round.modelId === modelId));

const currentRound = (run: RunRecord): number => Math.max(run.phase?.round ?? run.round, 1);

const finish = (run: RunRecord, outcome: RunOutcome, details: string, now: number): RunRecord => ({
  ...run,
  state: 'finished',
  outcome,
  details,
  phase: null,
  at: { ...run.at, finished: now },
});

function record(run: RunRecord, phase: PhaseId, report: PhaseReport, now: number): RoundSummary[] {
  const nodes = phase.kind === 'train' && hidesCohort(run.plan.privacy) ? [] : report.nodes;
  const count = (state: NodeOutcome['state']): number => nodes.filter((node) => node.state === state).length;
  if (phase.kind === 'train') {
    return [
      ...run.history,
      {
        round: phase.round,
        cohort: nodes.length,
        accepted: count('accepted'),
        refused: count('refused'),
        dropped: count('dropped') + count('failed'),
        seconds: report.seconds,
        modelId: run.modelId ?? '',
        trainMetrics: report.metrics,
        evaluated: 0,
        evaluateMetrics: [],
        at: now,
        ...(report.privacy && { privacy: report.privacy }),
        ...(report.masked && { masked: report.masked }),
      },
    ];
  }
  return run.history.map((summary) =>
    summary.round === phase.round
      ? {
          ...summary,
          seconds: summary.seconds + report.seconds,
          evaluated: count('accepted'),
          evaluateMetrics: report.metrics,
        }
      : summary,
  );
}
