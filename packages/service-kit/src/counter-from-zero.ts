import type { Attributes, Counter, Meter, MetricOptions } from '@opentelemetry/api';

/**
 * A counter whose named series exist from the start, at 0. One that appears with its first event hides that event from `increase()` and
 * `rate()`, which need a value before it. Name every label set that an alert must see; others appear when they happen.
 */
export const counterFromZero = (
  meter: Meter,
  name: string,
  options: MetricOptions,
  series: readonly Attributes[] = [{}],
): Counter => {
  const counter = meter.createCounter(name, options);
  for (const attributes of series) counter.add(0, attributes);
  return counter;
};
