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

/** What a node is asked, besides the terms. */
export interface Asked {
  readonly layout: {
    readonly dialect: string;
    readonly arrayRecordKey: string;
    readonly configRecordKey: string;
    readonly weightedByKey: string;
  };
  readonly config: readonly {
    readonly key: string;
    readonly value: { readonly kind: string; readonly value: unknown };
  }[];
  /** Of the run: whose app, with which overrides. */
  readonly appHash: string;
  readonly overrides: Asked['config'];
}

/** What the hash in the terms must be of: what this node was asked, so that no other node of the round was asked anything else. */
export const canonicalPlan = (
  { runId, kind, layout, config, appHash, overrides }: Asked & { readonly runId: bigint; readonly kind: string },
  { round, cohort, grid }: Masking,
): string => {
  const { dialect, arrayRecordKey, configRecordKey, weightedByKey } = layout;
  return JSON.stringify([
    ...['aegis masked plan v2', String(runId), kind, String(round), cohort],
    [grid.clip, grid.valueBits, grid.weightMax, grid.maxExamples ?? 0, grid.normClip ?? 0],
    Object.entries(grid.ownClips).sort(([one], [other]) => (one < other ? -1 : 1)),
    grid.metrics.map(({ name, low, high }) => [name, low, high]),
    [dialect, arrayRecordKey, configRecordKey, weightedByKey],
    entriesOf(config),
    [appHash, entriesOf(overrides).sort(([one], [other]) => (String(one) < String(other) ? -1 : 1))],
  ]);
};

const entriesOf = (entries: Asked['config']) => entries.map(({ key, value }) => [key, value.kind, plain(value.value)]);

const plain = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Uint8Array) return [...value];
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : value;
};
