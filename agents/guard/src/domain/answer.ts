import type { ConfigEntry } from './task.ts';

/** A piece of an answer as it is sent: bytes of a file in the answer's folder. */
export interface Part {
  /** SHA-256, hex. */
  readonly partId: string;
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** Bytes of a file in the answer's folder. */
export interface FileSlice {
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

export interface AnswerTensor {
  readonly name: string;
  /** Joined, the parts are one .npy file. */
  readonly partIds: readonly string[];
}

/** The one answer to a task. Once it is written down, no other is ever given. */
export type Answer =
  | {
      readonly outcome: 'update';
      readonly parts: readonly Part[];
      /** Empty where it is masked. */
      readonly tensors: readonly AnswerTensor[];
      /** Joined, the parts are the masked vector. */
      readonly masked?: readonly string[];
      readonly metrics: readonly ConfigEntry[];
    }
  | { readonly outcome: 'failure'; readonly code: number; readonly reason: string };

export interface AnswerRecord {
  readonly taskId: string;
  readonly runId: bigint;
  readonly answer: Answer;
  /** Bytes that leave with it. */
  readonly bytes: number;
  /** Unix milliseconds. */
  readonly answeredAt: number;
  /** What the server said of it; null: nothing yet. */
  readonly verdict: Verdict | null;
}

export interface Verdict {
  readonly accepted: boolean;
  readonly code: string;
  readonly detail: string;
}

/** Flower's numbers for what can go wrong with a message. */
export const FAILURE = { replyUnavailable: 4, nodeUnavailable: 5, refused: 7 } as const;
