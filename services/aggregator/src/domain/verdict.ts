// Whether an answer may be counted, as far as this can be said without looking into its tensors.
import type { ErrorCode } from '@aegis/errors';
import type { Answer } from './answer.ts';
import type { TaskKind } from './plan.ts';
import type { Scalar } from './scalar.ts';

export type Verdict =
  | { readonly accepted: true }
  | { readonly accepted: false; readonly code: ErrorCode; readonly detail: string };

export const accepted: Verdict = { accepted: true };
export const refuse = (code: ErrorCode, detail: string): Verdict => ({ accepted: false, code, detail });

/** 2^53: past it a count of examples is no longer exact, and no real data set is that large. */
const ABSURD_WEIGHT = 2 ** 53;
const MAX_METRICS = 1000;
const MAX_METRIC_VALUES = 100_000;

export function judgeAnswer(
  kind: TaskKind,
  answer: Answer,
  modelTensors: readonly string[],
  weightedByKey: string,
): Verdict {
  if (kind === 'initial-model')
    return answer.tensors.length > 0 ? accepted : refuse('UPDATE_TENSORS', 'No array was returned.');
  const weight = judgeWeight(answer.weight, weightedByKey);
  if (!weight.accepted) return weight;
  const metrics = judgeMetrics(answer.metrics);
  if (!metrics.accepted) return metrics;
  // arrays in the reply to an evaluation are not looked at, as in Flower
  if (kind === 'evaluate') return accepted;
  return judgeNames(answer, modelTensors);
}

/** Before a look at the vector itself: a masked task is answered by masked values alone, another one by none. */
export function judgeMasking(isMasked: boolean, answer: Answer): Verdict {
  if (!isMasked) return answer.masked === undefined ? accepted : refuse('ANSWER_NOT_MASKED', 'The task is not masked.');
  if (answer.masked === undefined) return refuse('ANSWER_NOT_MASKED', 'It is in the clear, and was not looked at.');
  if (answer.tensors.length > 0 || answer.metrics.length > 0 || answer.weight !== null)
    return refuse('ANSWER_NOT_MASKED', 'There are arrays, metrics or a weight beside the masked vector.');
  return accepted;
}

/** A sum must stay within the range of a double: what one node sends may not spoil what the others did. */
export const judgeSize = (norm: number, weight: number): Verdict =>
  Number.isFinite(norm * weight)
    ? accepted
    : refuse('UPDATE_NOT_FINITE', 'Its values times its weight are beyond the range of a double.');

function judgeWeight(weight: number | null, key: string): Verdict {
  if (weight === null) return refuse('UPDATE_WEIGHT', `There is no single number under ${JSON.stringify(key)}.`);
  if (!(weight > 0)) return refuse('UPDATE_WEIGHT', `${JSON.stringify(key)} is ${weight}; it must be more than 0.`);
  if (weight > ABSURD_WEIGHT)
    return refuse('UPDATE_WEIGHT', `${JSON.stringify(key)} is ${weight}; more than 2^53 is absurd.`);
  return accepted;
}

function judgeMetrics(metrics: Answer['metrics']): Verdict {
  if (metrics.length > MAX_METRICS)
    return refuse('UPDATE_METRICS', `There are ${metrics.length} of them, the limit is ${MAX_METRICS}.`);
  const keys = new Set<string>();
  let values = 0;
  for (const { key, value } of metrics) {
    if (keys.has(key)) return refuse('UPDATE_METRICS', `${JSON.stringify(key)} is there twice.`);
    keys.add(key);
    values += count(value);
    if (values > MAX_METRIC_VALUES) return refuse('UPDATE_METRICS', `They have more than ${MAX_METRIC_VALUES} values.`);
  }
  return accepted;
}

function judgeNames(answer: Answer, modelTensors: readonly string[]): Verdict {
  const expected = new Set(modelTensors);
  const got = new Set<string>();
  for (const { name } of answer.tensors) {
    if (got.has(name)) return refuse('UPDATE_TENSORS', `${JSON.stringify(name)} is there twice.`);
    if (!expected.has(name)) return refuse('UPDATE_TENSORS', `${JSON.stringify(name)} is not one of the model's.`);
    got.add(name);
  }
  for (const name of expected)
    if (!got.has(name)) return refuse('UPDATE_TENSORS', `${JSON.stringify(name)} is missing.`);
  return accepted;
}

const count = (value: Scalar): number => (Array.isArray(value.value) ? value.value.length : 1);
