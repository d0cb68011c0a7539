import type { Masking } from './masking.ts';

/** A typed scalar. Integers and reals stay apart: Flower apps check types strictly. */
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

export interface ModelTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly length: number;
}

export interface ModelFacts {
  readonly modelId: string;
  readonly bytes: number;
  readonly tensors: readonly ModelTensor[];
}

/** Work that the server offers this node. Its content never changes, however often it is offered. */
export interface Task {
  readonly taskId: string;
  readonly runId: bigint;
  readonly round: number;
  readonly kind: TaskKind;
  readonly config: readonly ConfigEntry[];
  readonly layout: RecordLayout;
  /** null for initial-model. */
  readonly model: ModelFacts | null;
  /** Unix seconds. */
  readonly createdAt: number;
  readonly ttl: number;
  readonly groupId: string;
  /** The terms its answer is masked under; null: it leaves in the clear. */
  readonly masking: Masking | null;
  /** W3C trace context of the round; '' or absent: none. Nothing is decided by it. */
  readonly traceparent?: string | undefined;
}

/** What the server says of a run. The guard holds it to what it said first. */
export interface RunFacts {
  readonly runId: bigint;
  readonly seriesId: bigint;
  readonly appId: string;
  readonly appVersion: string;
  /** SHA-256 of the app bundle, hex. */
  readonly appHash: string;
  readonly overrides: readonly ConfigEntry[];
  readonly federation: string;
}

export interface App {
  readonly appHash: string;
  readonly verifications: Readonly<Record<string, string>>;
  readonly fab: Buffer;
}
