import type { FileSlice } from '../domain/answer.ts';
import type { ConfigEntry } from '../domain/task.ts';

/** A complete answer of the SuperNode; its bytes are in files already. */
export interface GivenAnswer {
  readonly tensors: readonly {
    readonly name: string;
    readonly slices: readonly FileSlice[];
  }[];
  readonly metrics: readonly ConfigEntry[];
  readonly weight: number | null;
}
