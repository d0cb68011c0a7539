import type { ConfigEntry } from './scalar.ts';

export interface ModelTensor {
  readonly name: string;
  /** numpy descr, "<f4"; "bfloat16" */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Of its .npy file inside the body. */
  readonly offset: number;
  readonly length: number;
}

/** A stored model: a body of .npy files one after the other, named by the hash of names and contents. */
export interface ModelInfo {
  readonly modelId: string;
  readonly bytes: number;
  readonly tensors: readonly ModelTensor[];
}

export type ModelFormat = 'npz' | 'safetensors';

/** Where a model came from. One model may have several versions: two runs can end with the same numbers. */
export interface ModelVersion {
  readonly modelId: string;
  /** Given at import; '' otherwise. */
  readonly name: string;
  /** Null when imported. */
  readonly runId: bigint | null;
  readonly round: number;
  readonly cohort: number;
  /** Unix milliseconds. */
  readonly createdAt: number;
  readonly bytes: number;
  readonly parentId: string;
  readonly metrics: readonly ConfigEntry[];
}

/** Legacy apps name their arrays by position. */
export const hasPositionalNames = (info: ModelInfo): boolean =>
  info.tensors.every((tensor, i) => tensor.name === String(i));
