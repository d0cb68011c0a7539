import type { Floors, Masking } from './masking.ts';
import { type Decision, matches, type RangeRule, refuse, shown } from './rules.ts';
import type { ConfigEntry, TaskKind } from './task.ts';

/** What of the owner's policy is about masks. */
export interface MaskingRules {
  /** Answers leave masked or not at all. */
  readonly requireMasking: boolean;
  /** Of masked rounds, required or not. */
  readonly floors: Floors;
  /** Least noise multiplier of a sum of training; 0: none is asked for. */
  readonly leastNoise: number;
  /** What all noised sums of this node may cost together, ever; null: nobody asks. With it, training without noise does not leave. */
  readonly noiseBudget: { readonly epsilon: number; readonly delta: number } | null;
  readonly metrics: readonly RangeRule[];
}

export interface MaskingFacts {
  readonly kind: TaskKind;
  /** null: the task asks for an answer in the clear. */
  readonly masking: Masking | null;
  /** An earlier task of this run was masked. */
  readonly wasMasked: boolean;
  /** This guard has a signing certificate. */
  readonly canMask: boolean;
}

/** Masked or in the clear: is that what the owner asks for, and is the mask worth what it should be? */
export const judgeMasking = (policy: MaskingRules, { kind, masking, wasMasked, canMask }: MaskingFacts): Decision => {
  if (masking === null) {
    if (policy.requireMasking) {
      return refuse(
        'require-masking',
        `answers may leave masked only, and this ${kind} task asks for one in the clear`,
      );
    }
    if (wasMasked) {
      return refuse('require-masking', 'answers of this run were masked before, and now one is asked for in the clear');
    }
    if (asksForNoise(policy) && kind !== 'evaluate') {
      return refuse(noiseRule(policy), `this ${kind} task asks for an answer in the clear, without noise`);
    }
    return { allowed: true };
  }
  if (!canMask) return refuse('masking', 'the answer is to be masked, and this guard has no signing certificate');
  const { floors } = policy;
  if (masking.cohort < floors.cohort) {
    return refuse('masking.cohort', `${masking.cohort} nodes begin, the floor is ${floors.cohort}`);
  }
  if (masking.minSurvivors < floors.survivors) {
    return refuse(
      'masking.survivors',
      `a sum of ${masking.minSurvivors} nodes may be opened, the floor is ${floors.survivors}`,
    );
  }
  if (kind === 'train' && asksForNoise(policy) && masking.grid.noiseSigma === null) {
    return refuse(noiseRule(policy), 'the plan has no noise');
  }
  for (const { name, low, high } of masking.grid.metrics) {
    const rules = policy.metrics.filter((rule) => matches(rule.name, name));
    if (rules.length === 0) return refuse('metrics', `the mask is to cover the metric "${shown(name)}", not listed`);
    if (!rules.some(({ min, max }) => low >= min && high <= max)) {
      return refuse('metrics', `the metric "${shown(name)}" may be ${low} … ${high}, which is wider than listed`);
    }
  }
  return { allowed: true };
};

const asksForNoise = ({ leastNoise, noiseBudget }: MaskingRules): boolean => leastNoise > 0 || noiseBudget !== null;
const noiseRule = ({ leastNoise }: MaskingRules): string =>
  leastNoise > 0 ? 'masking.noise-multiplier' : 'masking.budget';

/**
 * Nodes whose noise is in every sum that may be opened, as the owner sees it: who may work with the server adds none. At least 0, and this
 * node is one of them.
 */
export const honestIn = ({ cohort, minSurvivors }: Masking, { colluders }: Floors): number =>
  // a hair below, as the core counts: a third of three is one
  Math.max(minSurvivors - Math.ceil(cohort * colluders - 1e-9), 0);

/** The numbers that go under the mask, in the grid's order; a metric that is no finite number has no place there. */
export const underMask = (
  { grid }: Masking,
  metrics: readonly ConfigEntry[],
): { values: number[]; withheld: readonly ConfigEntry[] } | { missing: string } => {
  const values: number[] = [];
  for (const { name } of grid.metrics) {
    const value = metrics.find(({ key }) => key === name)?.value;
    const number = value?.kind === 'integer' ? Number(value.value) : value?.kind === 'real' ? value.value : Number.NaN;
    if (!Number.isFinite(number)) return { missing: name };
    values.push(number);
  }
  const names = new Set(grid.metrics.map(({ name }) => name));
  return { values, withheld: metrics.filter(({ key }) => !names.has(key)) };
};
