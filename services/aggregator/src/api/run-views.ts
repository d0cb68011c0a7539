import type {
  NodeOutcome,
  RunEvent,
  RunMasking,
  RunPrivacy,
  RunSummary,
  RunView,
  ModelVersion as WireVersion,
} from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { FLOWER_SECAGG_LIMITS } from '../domain/flower-secagg/plan.ts';
import type { MaskedOutcome } from '../domain/masking.ts';
import type { ModelVersion } from '../domain/model.ts';
import { hidesCohort } from '../domain/private-round.ts';
import type { RunRecord } from '../domain/run.ts';
import type { NodeRunView } from '../flows/get-run.ts';
import type { RunOverview } from '../flows/list-runs.ts';
import { writeEntries } from './scalars.ts';

const seconds = (ms: number | null): number => (ms ?? 0) / 1000;

export const writeRun = ({ run, overrides }: NodeRunView): RunView => ({
  runId: run.runId,
  seriesId: run.seriesId,
  appId: run.app.appId,
  appVersion: run.app.version,
  appHash: run.app.hash,
  overrides: writeEntries(overrides),
  status: { status: run.state, subStatus: run.outcome ?? '', details: run.details },
  federation: run.federation,
  // nobody's business at a node
  owner: undefined,
});

export function writeSummary(view: RunOverview): RunSummary {
  const { run } = view;
  return {
    run: { ...writeRun(view), owner: run.startedBy },
    pendingAt: seconds(run.at.pending),
    startingAt: seconds(run.at.starting),
    runningAt: seconds(run.at.running),
    finishedAt: seconds(run.at.finished),
    round: run.round,
    rounds: run.plan.rounds,
    phase: view.phase,
    history: run.history.map((round) => ({
      round: round.round,
      cohort: round.cohort,
      accepted: round.accepted,
      refused: round.refused,
      dropped: round.dropped,
      seconds: round.seconds,
      modelId: round.modelId,
      trainMetrics: writeEntries(round.trainMetrics),
      evaluateMetrics: writeEntries(round.evaluateMetrics),
      evaluated: round.evaluated,
      privacy: round.privacy,
      masking: writeRoundMasking(round.masked),
    })),
    modelId: run.modelId ?? '',
    bytesSent: BigInt(Math.round(run.bytesSent)),
    bytesReceived: BigInt(Math.round(run.bytesReceived)),
    privacy: writePrivacy(view.run),
    masking: writeMasking(view.run),
    consent: view.run.plan.consent && { ...view.run.plan.consent },
  };
}

const writeRoundMasking = (masked: MaskedOutcome | undefined) =>
  masked && { shared: masked.shared, delivered: masked.delivered, opened: masked.opened };

function writeMasking({ plan: { secagg, flowerSecagg } }: RunRecord): RunMasking | undefined {
  if (flowerSecagg !== undefined) {
    const none = { valueBits: 0, weightMax: 0n, metrics: [], dropouts: 0, colluders: 0 };
    return { ...none, clip: flowerSecagg.settings.clippingRange, limits: [...FLOWER_SECAGG_LIMITS] };
  }
  if (secagg === undefined) return undefined;
  const { grid, dropouts, colluders } = secagg;
  return {
    clip: grid.clip,
    valueBits: grid.valueBits,
    weightMax: BigInt(grid.weightMax),
    metrics: grid.metrics.map(({ name }) => name),
    dropouts,
    colluders,
    limits: [],
  };
}

function writePrivacy({ plan: { privacy }, history }: RunRecord): RunPrivacy | undefined {
  if (privacy === undefined) return undefined;
  const last = history.at(-1)?.privacy;
  return {
    unit: privacy.unit,
    dataset: privacy.dataset,
    epsilonBudget: privacy.epsilon,
    delta: privacy.delta,
    sampling: privacy.sampling.kind,
    noiseMultiplier: privacy.noiseMultiplier ?? 0,
    epsilon: last?.epsilon ?? 0,
    left: last?.left ?? 1,
    clip: last?.nextClip ?? privacy.clip,
  };
}

export function writeEvent(view: RunOverview): RunEvent {
  const { run, round, phase } = view;
  const shown = hidesCohort(round?.rules.privacy) ? [] : [...(round?.members.values() ?? [])];
  const nodes: NodeOutcome[] = shown.map(({ nodeId, state, reason }) => ({
    nodeId,
    state: state === 'recording' ? 'waiting' : state,
    reason,
  }));
  const where = run.state === 'finished' ? `${run.outcome}${run.details === '' ? '' : `: ${run.details}`}` : phase;
  const message = round === null || round.round === 0 ? where : `round ${round.round}/${run.plan.rounds}: ${where}`;
  return { run: writeSummary(view), message, nodes };
}

export const writeVersion = (version: ModelVersion): WireVersion => ({
  modelId: version.modelId,
  name: version.name,
  runId: version.runId ?? 0n,
  round: version.round,
  cohort: version.cohort,
  createdAt: seconds(version.createdAt),
  bytes: BigInt(version.bytes),
  parentId: version.parentId,
  metrics: writeEntries(version.metrics),
});
