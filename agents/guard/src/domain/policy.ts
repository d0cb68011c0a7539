import type { Masking } from './masking.ts';
import { judgeMasking, type MaskingFacts, type MaskingRules, underMask } from './masking-policy.ts';
import { type Decision, isBoundless, matches, type RangeRule, type Refusal, refuse, shown } from './rules.ts';
import type { ConfigEntry, Scalar, TaskKind } from './task.ts';

// What the data owner allows, as rules that are decided from facts alone. What no rule allows does not leave.

export interface Policy extends MaskingRules {
  /** `publisher/name`, with `*`. The server's word, unless the app is signed or its hash is listed. */
  readonly apps: readonly string[];
  /** SHA-256 of app bundles; null: any. */
  readonly appHashes: readonly string[] | null;
  /** null: any. */
  readonly runs: readonly bigint[] | null;
  readonly kinds: readonly TaskKind[];
  readonly requireSignedApp: boolean;
  /** What the owner agrees to, for runs that ask for consent. The server is told; it counts there. */
  readonly consent: readonly Purpose[];
  /** Tensors that may leave; with bounds, each of their values must lie within those of one rule. */
  readonly tensors: readonly RangeRule[];
  readonly weight: { readonly min: number; readonly max: number };
  /** Whether what an app says of its failure may leave. It may quote data. */
  readonly errorDetails: boolean;
  /** null: updates leave as they were trained. */
  readonly localNoise: LocalNoiseRule | null;
  readonly updateBytes: number;
  readonly perDay: { readonly answers: number; readonly bytes: number };
}

/** A purpose, and the version of the text that was agreed to. */
export interface Purpose {
  readonly purpose: string;
  readonly version: string;
}

/** Of each update, before it leaves. `sigma` is of each element; or the least that keeps any two updates within (ε, δ) of each other. */
export type LocalNoiseRule = { readonly clip: number } & (
  | { readonly sigma: number }
  | { readonly epsilon: number; readonly delta: number }
);

export interface OfferFacts extends MaskingFacts {
  readonly runId: bigint;
  readonly appId: string;
  readonly appHash: string;
  /** Trusted entities whose signature of this very bundle holds. */
  readonly signedBy: readonly string[];
}

/** What has left in the last 24 hours. */
export interface Spent {
  readonly answers: number;
  readonly bytes: number;
}

export interface TensorFacts {
  readonly name: string;
  readonly bytes: number;
  readonly form: string;
  /** Of its values; null: it has none, or nobody asked; `no-numbers`: NaN, infinity, or nothing that can be read. */
  readonly range?: { readonly least: number; readonly greatest: number } | 'no-numbers' | null;
}

export interface AnswerFacts {
  readonly kind: TaskKind;
  /** null: it leaves in the clear. */
  readonly masking: Masking | null;
  readonly tensors: readonly TensorFacts[];
  /** Of the model the task came with: what each of its tensors is made of, by name. */
  readonly modelForms: ReadonlyMap<string, string>;
  readonly metrics: readonly ConfigEntry[];
  readonly weight: number | null;
}

export type AnswerDecision =
  | {
      readonly allowed: true;
      /** That leave in the clear. */
      readonly metrics: readonly ConfigEntry[];
      /** That leave under the mask, in the grid's order. */
      readonly masked: readonly number[];
      readonly withheld: readonly string[];
    }
  | Refusal;

/** May the task be given to the SuperNode? Asked before any of it is. */
export const judgeOffer = (policy: Policy, offer: OfferFacts, spent: Spent): Decision => {
  if (policy.runs !== null && !policy.runs.includes(offer.runId)) {
    return refuse('runs', `run ${offer.runId} is not listed`);
  }
  if (!policy.apps.some((pattern) => matches(pattern, offer.appId))) {
    return refuse('apps', `the app "${offer.appId}" is not listed`);
  }
  if (policy.appHashes !== null && !policy.appHashes.includes(offer.appHash)) {
    return refuse('app-hashes', `the app bundle ${offer.appHash} is not listed`);
  }
  if (policy.requireSignedApp && offer.signedBy.length === 0) {
    return refuse('require-signed-app', 'no trusted entity signed this app bundle');
  }
  if (!policy.kinds.includes(offer.kind)) return refuse('kinds', `tasks of the kind "${offer.kind}" are not allowed`);
  const masking = judgeMasking(policy, offer);
  return masking.allowed ? judgeSpent(policy, spent) : masking;
};

/** May the answer leave, and what of it? Asked once it is complete and before any of it leaves. */
export const judgeAnswer = (policy: Policy, answer: AnswerFacts, spent: Spent): AnswerDecision => {
  const { kind, weight, masking } = answer;
  if (policy.requireMasking && masking === null) return refuse('require-masking', 'the answer is not masked');
  if (kind === 'evaluate' && answer.tensors.length > 0) return refuse('tensors', 'an evaluation carries tensors');
  for (const { name, form, range } of answer.tensors) {
    const rules = policy.tensors.filter((rule) => matches(rule.name, name));
    if (rules.length === 0) return refuse('tensors', `the tensor "${shown(name)}" is not listed`);
    if (!rules.some((rule) => isBoundless(rule) || isWithin(rule, range ?? null))) {
      return refuse('tensors', `a value of the tensor "${shown(name)}" is outside its range, or no number`);
    }
    if (kind === 'initial-model') continue;
    const expected = answer.modelForms.get(name);
    if (expected === undefined) return refuse('tensors', `the tensor "${shown(name)}" is none of the model's`);
    if (form !== expected) {
      return refuse('tensors', `the tensor "${shown(name)}" is ${form}, the model's is ${expected}`);
    }
  }
  // Where all weigh the same, it stays here.
  if (kind !== 'initial-model' && masking?.grid.maxExamples !== null) {
    if (weight === null) return refuse('weight', 'the answer has no weight');
    if (!(weight >= policy.weight.min && weight <= policy.weight.max)) {
      return refuse('weight', 'the weight is outside its range');
    }
  }
  const bytes = answer.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  if (bytes > policy.updateBytes) return refuse('limits.update-mib', `the update has ${bytes} bytes`);
  const within = judgeSpent(policy, { answers: spent.answers, bytes: spent.bytes + bytes });
  if (!within.allowed) return within;
  if (masking !== null) return judgeMasked(masking, answer);
  const metrics = answer.metrics.filter((metric) => mayLeave(policy, metric));
  const withheld = answer.metrics.filter((metric) => !metrics.includes(metric)).map(({ key }) => shown(key));
  return { allowed: true, metrics, masked: [], withheld };
};

/** Everything that the mask covers must be there: a hole would be seen in the sum. */
const judgeMasked = (masking: Masking, answer: AnswerFacts): AnswerDecision => {
  const { kind, tensors, modelForms, metrics, weight } = answer;
  const { maxExamples } = masking.grid;
  const isWeight = Number.isSafeInteger(weight) && Number(weight) >= 1;
  if (maxExamples !== null && !(isWeight && Number(weight) <= maxExamples)) {
    return refuse('weight', 'under a mask the weight is a whole number from 1 to the maximum of the plan');
  }
  const names = new Set(tensors.map(({ name }) => name));
  if (kind === 'train' && (names.size !== modelForms.size || tensors.length !== names.size)) {
    return refuse('tensors', 'the mask covers every tensor of the model once, and the update has others');
  }
  const covered = underMask(masking, metrics);
  if ('missing' in covered) {
    return refuse('metrics', `the metric "${shown(covered.missing)}" is to be under the mask and is no number`);
  }
  const withheld = covered.withheld.map(({ key }) => shown(key));
  return { allowed: true, metrics: [], masked: covered.values, withheld };
};

export const judgeSpent = ({ perDay }: Policy, spent: Spent): Decision => {
  if (spent.answers >= perDay.answers) {
    return refuse('limits.answers-per-day', `${spent.answers} answers left within a day`);
  }
  if (spent.bytes > perDay.bytes) return refuse('limits.mib-per-day', `${spent.bytes} bytes would leave within a day`);
  return { allowed: true };
};

/** One finite number under an allowed name. A list can carry whole records, and has no rule that lets it out. */
/** Must the values of this tensor be looked at? */
export const hasRange = ({ tensors }: Policy, name: string): boolean => {
  const rules = tensors.filter((rule) => matches(rule.name, name));
  return rules.length > 0 && !rules.some(isBoundless);
};

const isWithin = ({ min, max }: RangeRule, range: Exclude<TensorFacts['range'], undefined>): boolean =>
  range === null || (range !== 'no-numbers' && range.least >= min && range.greatest <= max);

const mayLeave = (policy: Policy, { key, value }: ConfigEntry): boolean => {
  const number = numberOf(value);
  return (
    number !== null &&
    policy.metrics.some((rule) => matches(rule.name, key) && number >= rule.min && number <= rule.max)
  );
};

const numberOf = (value: Scalar): number | null => {
  if (value.kind === 'integer') return Number(value.value);
  return value.kind === 'real' && Number.isFinite(value.value) ? value.value : null;
};
