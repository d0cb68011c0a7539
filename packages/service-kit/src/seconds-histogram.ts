import type { Histogram, Meter } from '@opentelemetry/api';

/** From a fold of some milliseconds to a round of an hour; OpenTelemetry's own boundaries begin at five, meant for milliseconds. */
const BOUNDARIES = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600,
];

/** A histogram of durations in seconds. */
export const secondsHistogram = (meter: Meter, name: string, description: string): Histogram =>
  meter.createHistogram(name, { description, unit: 's', advice: { explicitBucketBoundaries: BOUNDARIES } });
