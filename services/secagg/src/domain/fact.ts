import type { Answer, AnsweredStage } from './answer.ts';
import type { NodeId } from './masking.ts';

export type EndCode = 'SECAGG_TOO_FEW' | 'SECAGG_ROUND_OVER';

/**
 * What happened in a round, each written once and in one order for every process: the state of a round is the fold of its facts. What
 * follows from them (a roster, who is left out, who takes part) is written nowhere.
 */
export type Fact =
  | { readonly kind: 'answer'; readonly answer: Answer }
  /** The time of a stage was over, by the clock of whoever noticed first. */
  | { readonly kind: 'closed'; readonly stage: AnsweredStage }
  /** Whose vectors are in the sum, by the aggregator's word. */
  | { readonly kind: 'survivors'; readonly survivors: readonly NodeId[] }
  | { readonly kind: 'ended'; readonly code: EndCode; readonly reason: string };

/** The first fact of a name stands. */
export const nameOf = (fact: Fact): string => {
  if (fact.kind === 'answer') return `${fact.answer.stage}.${fact.answer.node}`;
  return fact.kind === 'closed' ? `closed.${fact.stage}` : fact.kind;
};
