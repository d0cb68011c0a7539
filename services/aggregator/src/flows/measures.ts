import { counterFromZero, secondsHistogram, type Telemetry } from '@aegis/service-kit';
import type { Attributes } from '@opentelemetry/api';
import type { TaskKind } from '../domain/plan.ts';
import type { RoundEnd, Stage } from '../domain/round.ts';
import type { RunOutcome } from '../domain/run.ts';

export type Measures = ReturnType<typeof createMeasures>;

/** The aggregator's instruments. Labels name kinds and codes, never runs or nodes: their number must not grow. */
export function createMeasures({ meter }: Telemetry) {
  const counter = (name: string, description: string, series?: readonly Attributes[]) =>
    counterFromZero(meter, name, { description }, series);
  const seconds = (name: string, description: string) => secondsHistogram(meter, name, description);
  return {
    roundSeconds: seconds('aegis_round_seconds', 'From selecting a cohort to the checkpoint, by kind of phase.'),
    deadSeconds: seconds('aegis_round_dead_seconds', 'Of a phase, the time in which no node was at work.'),
    foldSeconds: seconds('aegis_fold_seconds', 'Adding one update into the sum.'),
    finishSeconds: seconds('aegis_finish_seconds', 'From the last answer to the written model.'),
    intakeBytes: meter.createCounter('aegis_intake_bytes_total', {
      description: 'Bytes of parts made durable.',
      unit: 'By',
    }),
    rounds: counter(
      'aegis_rounds_total',
      'Phases of rounds that ended, by kind and outcome: completed, skipped, failed, stopped.',
      product(KINDS, 'outcome', ENDS),
    ),
    selected: counter(
      'aegis_selected_total',
      'Nodes selected for a phase, by kind; not of a cohort that is secret.',
      KINDS.map((kind) => ({ kind })),
    ),
    cohort: meter.createGauge('aegis_round_cohort_nodes', {
      description: 'Nodes of the phase that ended last, by kind; not of a cohort that is secret.',
    }),
    loss: meter.createGauge('aegis_round_loss', {
      description: 'What the app calls its loss, over the answers of the phase that ended last, by kind.',
    }),
    accuracy: meter.createGauge('aegis_round_accuracy', {
      description: 'What it calls its accuracy.',
    }),
    updates: counter(
      'aegis_updates_total',
      'Answers by kind and verdict: accepted, or the code of the refusal.',
      product(KINDS, 'verdict', ['accepted', 'failed']),
    ),
    dropped: counter(
      'aegis_dropped_total',
      'Selected nodes that did not answer, by kind.',
      KINDS.map((kind) => ({ kind })),
    ),
    takeovers: counter(
      'aegis_run_takeovers_total',
      'Runs gone on with, by from whom: itself (a restart), free, stale (its owner is gone), lost-volume.',
      FROM.map((from) => ({ from })),
    ),
    losses: counter('aegis_run_losses_total', 'Runs that another aggregator took while this one still drove them.'),
    diskFull: counter('aegis_disk_full_total', 'Minutes in which a run waited for room on the disk.'),
    maskedAttempts: counter(
      'aegis_masked_attempts_total',
      'Masked attempts at a phase by kind and outcome: opened, or the code of what ended them.',
      product(['train', 'evaluate'], 'outcome', ['opened', 'SECAGG_TOO_FEW']),
    ),
    privacyRounds: counter(
      'aegis_privacy_rounds_total',
      'Rounds of private runs by what the ledger was told: reserved, refused, committed, released.',
      ['reserved', 'refused', 'committed', 'released'].map((outcome) => ({ outcome })),
    ),
    privacyEpsilon: meter.createGauge('aegis_privacy_run_epsilon', {
      description: 'Spent by the private run that released a round last, by data set.',
    }),
    privacyDelta: meter.createGauge('aegis_privacy_delta', { description: 'Of that run.' }),
    privacyLeft: meter.createGauge('aegis_privacy_budget_left', {
      description: "Share of that run's budget that is not spent, 0 to 1.",
    }),
    privacyClip: meter.createGauge('aegis_privacy_clip', { description: 'L2 norm that its updates were clipped to.' }),
    privacyNoise: meter.createGauge('aegis_privacy_noise_multiplier', { description: 'Its noise over the clip.' }),
    runs: counter(
      'aegis_runs_total',
      'Runs finished, by outcome.',
      OUTCOMES.map((outcome) => ({ outcome })),
    ),
  };
}

const KINDS: readonly TaskKind[] = ['train', 'evaluate', 'initial-model'];
const ENDS: readonly RoundEnd[] = ['completed', 'skipped', 'failed', 'stopped'];
const OUTCOMES: readonly RunOutcome[] = ['completed', 'failed', 'stopped'];
const FROM = ['itself', 'free', 'stale', 'lost-volume'] as const;

const product = (kinds: readonly string[], label: string, values: readonly string[]): Attributes[] =>
  kinds.flatMap((kind) => values.map((value) => ({ kind, [label]: value })));

export interface Driven {
  readonly stage: Exclude<Stage, 'ended'> | 'between';
  /** Unix milliseconds. */
  readonly progressAt: number;
}

/** Runs that this process drives, by where they stand. `now`: Unix milliseconds. */
export function watchRuns({ meter }: Telemetry, now: () => number, driven: () => readonly Driven[]): void {
  const open = meter.createObservableGauge('aegis_runs_open', {
    description: 'Runs that this process drives, by the stage of their phase; between: of none.',
  });
  const oldest = meter.createObservableGauge('aegis_run_progress_timestamp_seconds', {
    description:
      'Of the runs in a stage, when the one that has stood still for longest last moved on or got an answer, Unix seconds; now, where there is none.',
  });
  meter.addBatchObservableCallback(
    (result) => {
      const byStage = Map.groupBy(driven(), ({ stage }) => stage);
      for (const stage of STAGES) {
        const runs = byStage.get(stage) ?? [];
        result.observe(open, runs.length, { stage });
        result.observe(oldest, Math.min(now(), ...runs.map(({ progressAt }) => progressAt)) / 1000, { stage });
      }
    },
    [open, oldest],
  );
}
const STAGES: readonly Driven['stage'][] = [
  ...(['selecting', 'reserving', 'opening', 'collecting', 'closing', 'finishing'] as const),
  'between',
];
