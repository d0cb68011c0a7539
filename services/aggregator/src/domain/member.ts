/** `recording`: the answer is being written; from here on the round waits for it. */
export type MemberState = 'waiting' | 'recording' | 'accepted' | 'refused' | 'failed' | 'dropped';

/** One node of a cohort, by its task. */
export interface Member {
  readonly nodeId: bigint;
  readonly taskId: string;
  readonly state: MemberState;
  /** Error code of a refusal, Flower's number of a failure. */
  readonly code: string;
  readonly reason: string;
}
