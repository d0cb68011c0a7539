// Flower's weighted means of what nodes report (flwr.serverapp.strategy aggregate_metricrecords). Flower skips the whole
// aggregate when the keys of replies differ; here only the keys that differ are left out, each with a named reason. A value that
// is not finite (a loss that diverged on one node) counts for nobody: the mean is that of the others.
import { type ConfigEntry, real, type Scalar } from './scalar.ts';

export interface WeightedMetrics {
  readonly nodeId: bigint;
  readonly weight: number;
  readonly metrics: readonly ConfigEntry[];
}

/**
 * `answers` in an order of their own (by node), never by arrival: the sum must not depend on who was first. A mean over fewer than `least` nodes
 * is left out.
 */
export function weightedMeans(
  answers: readonly WeightedMetrics[],
  weightedByKey: string,
  least = 1,
): { metrics: ConfigEntry[]; notes: string[] } {
  const metrics: ConfigEntry[] = [];
  const notes: string[] = [];
  for (const key of keysInOrder(answers)) {
    if (key === weightedByKey) continue;
    const reported = ({ metrics }: WeightedMetrics) => metrics.find((metric) => metric.key === key)?.value;
    const counted: WeightedMetrics[] = [];
    for (const answer of answers) {
      const value = reported(answer);
      const odd = value === undefined ? undefined : numbersOf(value)?.find((number) => !Number.isFinite(number));
      if (odd === undefined) counted.push(answer);
      else notes.push(`metric ${JSON.stringify(key)} of node ${answer.nodeId} left out: it is ${odd}`);
    }
    if (counted.length < least) continue;
    const total = counted.reduce((sum, answer) => sum + answer.weight, 0);
    const mean = meanOf(counted.map(reported), counted, total);
    if (typeof mean === 'string') notes.push(`metric ${JSON.stringify(key)} left out: ${mean}`);
    else metrics.push({ key, value: mean });
  }
  const more = notes.length - MAX_NOTES;
  return { metrics, notes: more > 0 ? [...notes.slice(0, MAX_NOTES), `${more} more metrics left out`] : notes };
}

/** Any node can send a thousand metrics that are not finite; nobody reads as many lines. */
const MAX_NOTES = 20;

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

/**
 * What an app calls its loss and its accuracy, by the names that Flower's own apps use: loss, train_loss, eval-loss; accuracy, acc, eval_acc. Null
 * where no single finite number has such a name.
 */
export function qualityOf(metrics: readonly ConfigEntry[]): { loss: number | null; accuracy: number | null } {
  const named = (name: RegExp): number | null => {
    for (const { key, value } of metrics) {
      const number = value.kind === 'real' ? value.value : value.kind === 'integer' ? Number(value.value) : Number.NaN;
      if (name.test(key) && Number.isFinite(number)) return number;
    }
    return null;
  };
  return { loss: named(/(^|[_-])loss$/i), accuracy: named(/(^|[_-])acc(uracy)?$/i) };
}
