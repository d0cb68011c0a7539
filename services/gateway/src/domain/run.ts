import type { FlowerSaid } from './flower-stage.ts';
import type { Slice } from './slice.ts';
import type { ConfigEntry, Scalar } from './task.ts';

export type { Slice } from './slice.ts';

// What people and nodes are told of runs and models. The gateway passes these on; it decides nothing by them.

/** In Flower's words: pending, starting, running, finished; completed, failed, stopped. */
export interface RunStatus {
  readonly status: string;
  readonly subStatus: string;
  readonly details: string;
}

export interface RunView {
  readonly runId: bigint;
  readonly seriesId: bigint;
  /** `<publisher>/<project>` */
  readonly appId: string;
  readonly appVersion: string;
  readonly appHash: string;
  readonly overrides: readonly ConfigEntry[];
  readonly status: RunStatus;
  readonly federation: string;
  /** The account that started it; undefined: none did. */
  readonly owner?: RunOwner | undefined;
}

export interface RunOwner {
  /** Never given to anybody else. */
  readonly id: string;
  /** For people; may change. */
  readonly name: string;
}

export interface AppBundle {
  readonly appHash: string;
  readonly verifications: Readonly<Record<string, string>>;
  readonly fab: Buffer;
}

export interface Metric {
  readonly key: string;
  readonly value: Scalar;
}

export interface RoundSummary {
  readonly round: number;
  readonly cohort: number;
  readonly accepted: number;
  readonly refused: number;
  readonly dropped: number;
  readonly seconds: number;
  readonly modelId: string;
  readonly trainMetrics: readonly Metric[];
  readonly evaluateMetrics: readonly Metric[];
  readonly evaluated: number;
  readonly privacy: RoundPrivacy | undefined;
  readonly masking: RoundMasking | undefined;
}

/** Who took part in the sum of a masked round: shared keys, delivered a vector, helped to open it. */
export interface RoundMasking {
  readonly shared: number;
  readonly delivered: number;
  readonly opened: number;
}

/** What a round of a private run released, and what the run has cost since. */
export interface RoundPrivacy {
  readonly clip: number;
  readonly noiseMultiplier: number;
  readonly epsilon: number;
  readonly delta: number;
  readonly left: number;
}

export interface RunPrivacy {
  readonly unit: string;
  readonly dataset: string;
  readonly epsilonBudget: number;
  readonly delta: number;
  readonly sampling: string;
  readonly noiseMultiplier: number;
  readonly epsilon: number;
  readonly left: number;
  readonly clip: number;
}

/** Times in Unix seconds, 0 = not yet. */
export interface RunSummary {
  readonly run: RunView;
  readonly pendingAt: number;
  readonly startingAt: number;
  readonly runningAt: number;
  readonly finishedAt: number;
  readonly round: number;
  readonly rounds: number;
  readonly phase: string;
  readonly history: readonly RoundSummary[];
  readonly modelId: string;
  readonly bytesSent: bigint;
  readonly bytesReceived: bigint;
  /** Absent: it promises nothing. */
  readonly privacy: RunPrivacy | undefined;
  /** Absent: answers travel in the clear. */
  readonly masking: RunMasking | undefined;
  /** Absent: any node may be asked. */
  readonly consent?: RunConsent | undefined;
}

export interface RunConsent {
  readonly purpose: string;
  readonly version: string;
}

export interface RunMasking {
  readonly clip: number;
  readonly valueBits: number;
  readonly weightMax: bigint;
  readonly metrics: readonly string[];
  readonly dropouts: number;
  readonly colluders: number;
  readonly limits: readonly string[];
}

export interface RunEvent {
  readonly run: RunSummary;
  readonly message: string;
  readonly nodes: readonly { readonly nodeId: bigint; readonly state: string; readonly reason: string }[];
}

export interface LogLines {
  readonly text: string;
  readonly latest: number;
}

export interface ModelVersion {
  readonly modelId: string;
  readonly name: string;
  readonly runId: bigint;
  readonly round: number;
  readonly cohort: number;
  readonly createdAt: number;
  readonly bytes: bigint;
  readonly parentId: string;
  readonly metrics: readonly Metric[];
}

export interface ModelTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Of its .npy file in the model's body. */
  readonly offset: number;
  readonly length: number;
}

export interface ModelFacts {
  readonly modelId: string;
  readonly bytes: number;
  readonly tensors: readonly ModelTensor[];
}

/** The slices of a tensor, joined, are one complete .npy file. */
export interface Update {
  readonly tensors: readonly { readonly name: string; readonly slices: readonly Slice[] }[];
  readonly metrics: readonly Metric[];
  readonly weight: number | undefined;
  readonly runtimeSeconds: number;
  /** Of a masked answer, which has nothing else: joined, they are the packed vector. */
  readonly masked?: readonly Slice[];
  /** In a stage of Flower's own SecAgg+, instead of tensors. */
  readonly flower?: FlowerSaid | undefined;
}
