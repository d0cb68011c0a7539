import type { FileSlice } from './answer.ts';
import type { Stage } from './masking.ts';
import type { Task } from './task.ts';

/** A complete answer of the SuperNode that waits for its mask; its bytes are in files. */
export interface KeptUpdate {
  readonly tensors: readonly { readonly name: string; readonly slices: readonly FileSlice[] }[];
  /** In the grid's order. */
  readonly metrics: readonly number[];
  readonly withheld: readonly string[];
  /** Examples, as the app counts them. */
  readonly weight: number;
}

/** A node's part in one masked round, as the journal has it. The secrets of it are not here. */
export interface MaskedRound {
  readonly task: Task;
  /** Answered last. */
  readonly stage: Stage;
  /** What was said then, and is said again until the server asks for more. Empty after `mask`: the vector is the task's answer. */
  readonly answer: string;
  readonly update: KeptUpdate | null;
  /** Why it is over; null: it goes on. */
  readonly over: string | null;
}

/** Of a round that went to its end. */
export const DONE = 'done';
