import type { FlowerStage } from './flower-stage.ts';

/** A typed configuration scalar. Integers and reals stay apart: Flower apps check types strictly. */
export type Scalar =
  | { kind: 'real'; value: number }
  | { kind: 'integer'; value: bigint }
  | { kind: 'flag'; value: boolean }
  | { kind: 'text'; value: string }
  | { kind: 'data'; value: Buffer }
  | { kind: 'reals'; value: number[] }
  | { kind: 'integers'; value: bigint[] }
  | { kind: 'flags'; value: boolean[] }
  | { kind: 'texts'; value: string[] }
  | { kind: 'datas'; value: Buffer[] };

export interface ConfigEntry {
  key: string;
  value: Scalar;
}

export type TaskKind = 'train' | 'evaluate' | 'initial-model';

export interface RecordLayout {
  readonly dialect: 'message' | 'legacy';
  readonly arrayRecordKey: string;
  readonly configRecordKey: string;
  readonly weightedByKey: string;
}

/** The terms of a masked answer, passed on to its node as they are. */
export interface Masking {
  readonly cohort: number;
  readonly dropouts: number;
  readonly colluders: number;
  readonly plan: Buffer;
  readonly round: bigint;
  readonly degree: number;
  readonly threshold: number;
  readonly minSurvivors: number;
  readonly bits: number;
  readonly length: bigint;
  readonly grid: MaskedGrid | undefined;
  readonly stageSeconds: number;
}

interface MaskedGrid {
  readonly clip: number;
  readonly ownClips: Readonly<Record<string, number>>;
  readonly metrics: readonly { readonly name: string; readonly low: number; readonly high: number }[];
  readonly valueBits: number;
  readonly weightMax: bigint;
  readonly maxExamples: number;
  readonly normClip: number;
  readonly noiseSigma: number;
}

export interface TaskRef {
  readonly taskId: string;
  readonly runId: bigint;
  readonly nodeId: bigint;
}

/** Work for one node. Immutable: every gateway renders the same message from it, also after a restart. */
export interface Task extends TaskRef {
  readonly round: number;
  readonly kind: TaskKind;
  /** Empty for initial-model. */
  readonly modelId: string;
  readonly config: readonly ConfigEntry[];
  readonly layout: RecordLayout;
  /** Unix seconds. */
  readonly createdAt: number;
  readonly ttl: number;
  readonly groupId: string;
  readonly traceparent: string;
  /** Unix seconds after which the round no longer waits; 0 = no deadline. */
  readonly deadline: number;
  /** The run lets in clients without identity. */
  readonly join: boolean;
  /** Absent: the answer travels in the clear. */
  readonly masking?: Masking | undefined;
  /** A stage of Flower's own SecAgg+: for SuperNodes alone, whose app masks by itself. */
  readonly secaggplus?: FlowerStage | undefined;
}

export const refOf = ({ taskId, runId, nodeId }: TaskRef): TaskRef => ({ taskId, runId, nodeId });
