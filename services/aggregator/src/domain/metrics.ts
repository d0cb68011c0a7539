// Flower's weighted means of what nodes report (flwr.serverapp.strategy aggregate_metricrecords). Flower skips the whole
// aggregate when the keys of replies differ; here only the keys that differ are left out, each with a named reason.
import { type ConfigEntry, real, type Scalar } from './scalar.ts';

export interface WeightedMetrics {
  readonly weight: number;
  readonly metrics: readonly ConfigEntry[];
}

/** `answers` in an order of their own (by node), never by arrival: the sum must not depend on who was first. */
export function weightedMeans(
  answers: readonly WeightedMetrics[],
  weightedByKey: string,
): { metrics: ConfigEntry[]; notes: string[] } {
  const total = answers.reduce((sum, answer) => sum + answer.weight, 0);
  const metrics: ConfigEntry[] = [];
  const notes: string[] = [];
  for (const key of keysInOrder(answers)) {
    if (key === weightedByKey) continue;
    const values = answers.map((answer) => answer.metrics.find((metric) => metric.key === key)?.value);
    const mean = meanOf(values, answers, total);
    if (typeof mean === 'string') notes.push(`metric ${JSON.stringify(key)} left out: ${mean}`);
    else metrics.push({ key, value: mean });
  }
  return { metrics, notes };
}

function meanOf(
  values: readonly (Scalar | undefined)[],
  answers: readonly WeightedMetrics[],
  total: number,
): Scalar | string {
  const columns: (readonly number[])[] = [];
  let list: boolean | undefined;
  for (const value of values) {
    if (value === undefined)
      return `${values.filter((other) => other === undefined).length} of ${values.length} nodes did not report it`;
    const numbers = numbersOf(value);
    if (numbers === null) return `it is ${value.kind}, not a number`;
    const isList = Array.isArray(value.value);
    list ??= isList;
    if (list !== isList) return 'some nodes report a list, others a single number';
    columns.push(numbers);
  }
  const length = columns[0]?.length ?? 0;
  const ragged = columns.find((column) => column.length !== length);
  if (ragged !== undefined) return `its lists differ in length (${length} and ${ragged.length})`;
  const sums = Array.from({ length }, (_, i) =>
    columns.reduce((sum, column, j) => sum + (column[i] ?? 0) * ((answers[j]?.weight ?? 0) / total), 0),
  );
  return list ? { kind: 'reals', value: sums } : real(sums[0] ?? 0);
}

function numbersOf(value: Scalar): readonly number[] | null {
  switch (value.kind) {
    case 'real':
      return [value.value];
    case 'integer':
      return [Number(value.value)];
    case 'reals':
      return value.value;
    case 'integers':
      return value.value.map(Number);
    default:
      return null;
  }
}

const keysInOrder = (answers: readonly WeightedMetrics[]): Set<string> =>
  new Set(answers.flatMap((answer) => answer.metrics.map((metric) => metric.key)));
