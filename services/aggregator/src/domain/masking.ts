// The terms of a masked attempt at a round, the same for its whole cohort. The core computes what is arithmetic; everything a node signs
// and derives stands on what is here.
import type { ModelInfo } from './model.ts';

export interface MaskedMetric {
  readonly name: string;
  readonly low: number;
  readonly high: number;
}

/** Which values are summed, and how they become integers. Tensors are differences from the task's model. */
export interface MaskedGrid {
  /** Range of a value: ±clip. */
  readonly clip: number;
  /** Of tensors that have a range of their own; whole numbers need one. */
  readonly ownClips: readonly { readonly tensor: string; readonly clip: number }[];
  readonly metrics: readonly MaskedMetric[];
  readonly valueBits: number;
  readonly weightMax: number;
  /** What weighs weightMax; more is refused by the node. 0 with weights of 1: nobody counts. */
  readonly maxExamples: number;
  /** L2 of the whole difference; 0: no such clip. */
  readonly normClip: number;
  /** σ of the noise that each node adds to each element of its tensors, in steps of the grid; absent or 0: none. */
  readonly noiseSigma?: number | undefined;
}

export interface Masking {
  readonly cohort: number;
  /** Fractions assumed to drop out, and to work with the server. */
  readonly dropouts: number;
  readonly colluders: number;
  /** What the core names the plan by that every node puts together out of its own task, in hexadecimal (planDigest). */
  readonly plan: string;
  /** Of the terms: {@link maskedRound}. */
  readonly round: number;
  readonly degree: number;
  readonly threshold: number;
  readonly minSurvivors: number;
  readonly bits: number;
  readonly length: number;
  readonly grid: MaskedGrid;
  readonly stageSeconds: number;
}

/** How many attempts at one phase can be told apart. */
export const MOST_ATTEMPTS = 63;

/** No two attempts at anything in a run share this number; an attempt beyond {@link MOST_ATTEMPTS} has none. */
export const maskedRound = (round: number, attempt: number, kind: string): number =>
  (round * 64 + attempt) * 4 + (kind === 'evaluate' ? 2 : 1);

/** The terms as the core takes them: what every node signs over. */
export const termsOf = (runId: bigint, masking: Masking) => ({
  run: String(runId),
  round: String(masking.round),
  plan: masking.plan,
  degree: masking.degree,
  threshold: masking.threshold,
  minSurvivors: masking.minSurvivors,
  bits: masking.bits,
  length: String(masking.length),
});

/** The grid as the core takes it: arrays for training, metrics alone for evaluation. */
export function coreGrid(
  { normClip, noiseSigma = 0, maxExamples: _, ownClips, metrics, ...rest }: MaskedGrid,
  kind: string,
  model: Pick<ModelInfo, 'tensors'> | null,
) {
  const tensors = kind === 'train' ? (model?.tensors ?? []) : [];
  return {
    specs: tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] })),
    options: {
      ...rest,
      ownClips: kind === 'train' ? Object.fromEntries(ownClips.map(({ tensor, clip }) => [tensor, clip])) : {},
      metrics: metrics.map((metric) => ({ ...metric })),
      ...(normClip > 0 && { normClip }),
      ...(noiseSigma > 0 && { noiseSigma }),
    },
  };
}

/** Bytes of one packed vector. */
export const packedBytes = ({ length, bits }: Pick<Masking, 'length' | 'bits'>): number =>
  Math.ceil((length * bits) / 8);

/** What came of a masked attempt, as people are shown it. */
export interface MaskedOutcome {
  /** Asked, shared their keys, delivered a vector, helped to open the sum. */
  readonly cohort: number;
  readonly shared: number;
  readonly delivered: number;
  readonly opened: number;
}

// ---- what the round machine is told of a masked attempt, and what it asks for (masked-step.ts)

export type MaskedInput =
  /** The terms of the cohort that was drawn, less those whom it does without. */
  | { readonly type: 'masking'; readonly masking: Masking; readonly without: readonly string[] }
  /** The secagg service has them. */
  | { readonly type: 'opened' }
  /** Nothing of this attempt can be opened. `again`: another cohort or fresh keys may do. */
  | { readonly type: 'mask-failed'; readonly reason: string; readonly again: boolean };

export type MaskedEffect =
  /** Compute the terms of the cohort; answer with `masking` or `mask-failed`. */
  | { readonly do: 'mask' }
  /** Tell the secagg service; answer with `opened` or `mask-failed`. */
  | { readonly do: 'open-masked' }
  /** Follow who shares keys: `failed` for everybody who did not, or `mask-failed`. */
  | { readonly do: 'await-sharing' }
  /** Nobody waits for the attempt any more. */
  | { readonly do: 'end-masked'; readonly masking: Masking; readonly reason: string };
