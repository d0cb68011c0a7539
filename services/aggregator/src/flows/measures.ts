import type { Telemetry } from '@aegis/service-kit';

export type Measures = ReturnType<typeof createMeasures>;

/** The aggregator's instruments. Labels name kinds and codes, never runs or nodes: their number must not grow. */
export function createMeasures({ meter }: Telemetry) {
  const seconds = (name: string, description: string) => meter.createHistogram(name, { description, unit: 's' });
  return {
    roundSeconds: seconds('aegis_round_seconds', 'From selecting a cohort to the checkpoint, by kind of phase.'),
    deadSeconds: seconds('aegis_round_dead_seconds', 'Of a phase, the time in which no node was at work.'),
    foldSeconds: seconds('aegis_fold_seconds', 'Adding one update into the sum.'),
    finishSeconds: seconds('aegis_finish_seconds', 'From the last answer to the written model.'),
    intakeBytes: meter.createCounter('aegis_intake_bytes_total', {
      description: 'Bytes of parts made durable.',
      unit: 'By',
    }),
    updates: meter.createCounter('aegis_updates_total', {
      description: 'Answers by kind and verdict: accepted, or the code of the refusal.',
    }),
    dropped: meter.createCounter('aegis_dropped_total', {
      description: 'Selected nodes that did not answer, by kind.',
    }),
    takeovers: meter.createCounter('aegis_run_takeovers_total', {
      description: 'Runs gone on with, by from whom: itself (a restart), free, stale (its owner is gone), lost-volume.',
    }),
    maskedAttempts: meter.createCounter('aegis_masked_attempts_total', {
      description: 'Masked attempts at a phase by kind and outcome: opened, or the code of what ended them.',
    }),
    privacyRounds: meter.createCounter('aegis_privacy_rounds_total', {
      description: 'Rounds of private runs by what the ledger was told: reserved, refused, committed, released.',
    }),
    privacyEpsilon: meter.createGauge('aegis_privacy_epsilon', {
      description: 'Spent by the private run that released a round last, by data set.',
    }),
    privacyDelta: meter.createGauge('aegis_privacy_delta', { description: 'Of that run.' }),
    privacyLeft: meter.createGauge('aegis_privacy_budget_left', {
      description: "Share of that run's budget that is not spent, 0 to 1.",
    }),
    privacyClip: meter.createGauge('aegis_privacy_clip', { description: 'L2 norm that its updates were clipped to.' }),
    privacyNoise: meter.createGauge('aegis_privacy_noise_multiplier', { description: 'Its noise over the clip.' }),
    runs: meter.createCounter('aegis_runs_total', { description: 'Runs finished, by outcome.' }),
  };
}
