import type { Keys, Opening, Sealed } from './flower-secagg/answer.ts';
import type { ConfigEntry } from './scalar.ts';

export interface TaskRef {
  readonly taskId: string;
  readonly runId: bigint;
  readonly nodeId: bigint;
}

export interface PartSlice {
  readonly part: string;
  readonly offset: number;
  readonly length: number;
}

/** The slices, joined, are one complete .npy file. */
export interface TensorSource {
  readonly name: string;
  readonly slices: readonly PartSlice[];
}

/** What a node says in a stage of Flower's SecAgg+. */
export type FlowerSaid =
  | ({ readonly stage: 'setup' } & Keys)
  | { readonly stage: 'share_keys'; readonly sealed: readonly Sealed[] }
  /** Each joined from its slices: .npy files of int64, the weight's first. */
  | { readonly stage: 'collect_masked_vectors'; readonly arrays: readonly (readonly PartSlice[])[] }
  | { readonly stage: 'unmask'; readonly openings: readonly Opening[] };

/** What a node answers to a task. All parts are durable before it is looked at. */
export interface Answer {
  readonly tensors: readonly TensorSource[];
  readonly metrics: readonly ConfigEntry[];
  readonly weight: number | null;
  readonly runtimeSeconds: number;
  /** Of a masked task: the packed vector, joined from these, and nothing else of the above but the time it took. */
  readonly masked?: readonly PartSlice[] | undefined;
  /** Of a task of Flower's SecAgg+, beside metrics and weight where it trained. */
  readonly flower?: FlowerSaid | undefined;
}

/** An accepted answer, as it stands in the intake log. */
export interface AcceptedAnswer {
  readonly taskId: string;
  readonly nodeId: bigint;
  readonly digest: string;
  readonly tensors: readonly TensorSource[];
  readonly metrics: readonly ConfigEntry[];
  readonly weight: number;
  readonly runtimeSeconds: number;
  readonly norm: number;
  readonly masked?: readonly PartSlice[] | undefined;
  readonly flower?: FlowerSaid | undefined;
}

/** The text whose hash tells a repeated answer from a second one. Parts are named by content; the time it took is not part of it. */
export function canonicalAnswer(answer: Answer): string {
  return JSON.stringify(
    [
      answer.tensors.map((tensor) => [
        tensor.name,
        tensor.slices.map((slice) => [slice.part, slice.offset, slice.length]),
      ]),
      answer.metrics.map((metric) => [metric.key, metric.value.kind, metric.value.value]),
      answer.weight,
      ...(answer.flower ? [answer.flower] : []),
      ...(answer.masked ? [answer.masked.map((slice) => [slice.part, slice.offset, slice.length])] : []),
    ],
    (_key, value: unknown) => {
      if (typeof value === 'bigint') return `${value}n`;
      if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
      return value;
    },
  );
}
