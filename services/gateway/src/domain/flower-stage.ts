import type { Slice } from './slice.ts';

// The stages of Flower's own SecAgg+, passed between aggregator and nodes as they are: the gateway decides nothing by them.

/** What a task asks of its node. */
export type FlowerStage =
  | {
      readonly stage: 'setup';
      readonly sampleNum: number;
      readonly shareNum: number;
      readonly threshold: number;
      readonly clippingRange: number;
      readonly targetRange: number;
      readonly modRange: number;
      readonly maxWeight: number;
    }
  | {
      readonly stage: 'share_keys';
      readonly keys: readonly { readonly node: bigint; readonly pk1: Uint8Array; readonly pk2: Uint8Array }[];
    }
  | {
      readonly stage: 'collect_masked_vectors';
      readonly sealed: readonly { readonly from: bigint; readonly ciphertext: Uint8Array }[];
    }
  | { readonly stage: 'unmask'; readonly active: readonly bigint[]; readonly dead: readonly bigint[] };

/** What the node says. */
export type FlowerSaid =
  | { readonly stage: 'setup'; readonly pk1: Buffer; readonly pk2: Buffer }
  | { readonly stage: 'share_keys'; readonly sealed: readonly { readonly to: bigint; readonly ciphertext: Buffer }[] }
  /** Each joined from its slices: one .npy file. */
  | { readonly stage: 'collect_masked_vectors'; readonly arrays: readonly (readonly Slice[])[] }
  | { readonly stage: 'unmask'; readonly openings: readonly { readonly of: bigint; readonly share: Buffer }[] };
