// The terms of a masked answer as a task brings them. docs/secure-aggregation.md has the protocol.

export interface MaskedGrid {
  readonly clip: number;
  readonly ownClips: Readonly<Record<string, number>>;
  readonly metrics: readonly MaskedMetric[];
  readonly valueBits: number;
  readonly weightMax: number;
  /** What weighs weightMax; more takes no part. null: all weigh 1, and nobody counts. */
  readonly maxExamples: number | null;
  /** Of the whole update, in L2; null: none. */
  readonly normClip: number | null;
  /** σ of the noise that this node adds to each element of its tensors, in steps of the grid; null: none. */
  readonly noiseSigma: number | null;
}

export interface MaskedMetric {
  readonly name: string;
  readonly low: number;
  readonly high: number;
}

export interface Masking {
  readonly cohort: number;
  /** SHA-256, hex. */
  readonly plan: string;
  /** Of the terms: no two attempts of a run share one. */
  readonly round: bigint;
  readonly degree: number;
  readonly threshold: number;
  readonly minSurvivors: number;
  readonly bits: number;
  readonly length: number;
  readonly grid: MaskedGrid;
}

/** What the data owner asks of a masked round, whatever its plan says. */
export interface Floors {
  /** Fewest nodes that begin. */
  readonly cohort: number;
  /** Fewest nodes whose sum may be opened. */
  readonly survivors: number;
  /** Fraction of the cohort that may work with the server. */
  readonly colluders: number;
}

/** The stages of a masked round, in order. A stage's place is the number that the core counts it by. */
export const STAGES = ['advertise', 'share', 'mask', 'confirm', 'unmask'] as const;
export type Stage = (typeof STAGES)[number];

/** null after the last one. */
export const stageAfter = (stage: Stage): Stage | null => STAGES[STAGES.indexOf(stage) + 1] ?? null;

/** The same for every node of the round; everything that is signed or derived is over it. */
export const termsOf = (runId: bigint, masking: Masking) => ({
  run: runId.toString(),
  round: masking.round.toString(),
  plan: masking.plan,
  degree: masking.degree,
  threshold: masking.threshold,
  minSurvivors: masking.minSurvivors,
  bits: masking.bits,
  length: masking.length.toString(),
});

/** What a masked vector has in bytes. */
export const vectorBytes = ({ bits, length }: Masking): number => Math.ceil((bits * length) / 8);
