import type { MaskedOutcome } from '../domain/masking.ts';
import { qualityOf } from '../domain/metrics.ts';
import type { ModelInfo } from '../domain/model.ts';
import { hidesCohort, type ReleasedRound } from '../domain/private-round.ts';
import type { RoundEnd, RoundState } from '../domain/round.ts';
import { phaseLine, privacyLine } from '../domain/round-report.ts';
import type { PhaseReport } from '../domain/run.ts';
import type { ConfigEntry } from '../domain/scalar.ts';
import type { Ground } from './ground.ts';

/** What the answers of a phase came to. */
export interface PhaseResult {
  readonly metrics: ConfigEntry[];
  readonly model: ModelInfo | null;
  readonly privacy?: ReleasedRound | undefined;
  readonly masked?: MaskedOutcome | undefined;
}

export interface PhaseCosts {
  readonly seconds: number;
  /** When the last verdict or failure came, by the monotonic clock; null = none did. */
  readonly lastAt: number | null;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** Measures and tells how a phase ended; returns what the run's record keeps of it. */
export function reportPhase(
  { measures, clock, peers }: Ground,
  state: RoundState,
  { end, reason }: { end: RoundEnd; reason: string },
  { metrics, model, privacy, masked }: PhaseResult,
  { seconds, lastAt, ...bytes }: PhaseCosts,
): PhaseReport {
  const { kind, round, members, runId } = state;
  const completed = end === 'completed';
  measures.rounds.add(1, { kind, outcome: end });
  if (!hidesCohort(state.rules.privacy)) {
    measures.selected.add(members.size, { kind });
    measures.cohort.record(members.size, { kind });
  }
  if (completed) {
    measures.roundSeconds.record(seconds, { kind });
    if (lastAt !== null) measures.deadSeconds.record((clock.monotonic() - lastAt) / 1000, { kind });
    peers.feed.log(runId, phaseLine(state, metrics, seconds));
    const { loss, accuracy } = qualityOf(metrics);
    if (loss !== null) measures.loss.record(loss, { kind });
    if (accuracy !== null) measures.accuracy.record(accuracy, { kind });
    if (privacy) peers.feed.log(runId, privacyLine(state, privacy));
  } else if (end === 'skipped') {
    peers.feed.log(runId, `round ${round}, ${kind}: left out: ${reason}`);
  }
  const nodes = [...members.values()].map(({ nodeId, state: was, code, reason: why }) => ({
    nodeId,
    state: was,
    code,
    reason: why,
  }));
  for (const node of nodes) if (node.state === 'dropped') measures.dropped.add(1, { kind });
  return {
    outcome: end,
    reason,
    nodes,
    metrics: completed ? metrics : [],
    modelId: completed ? (model?.modelId ?? null) : null,
    modelBytes: model?.bytes ?? 0,
    seconds,
    ...bytes,
    ...(state.asked && { asked: state.asked }),
    ...(completed && privacy && { privacy }),
    ...(completed && masked && { masked }),
  };
}
