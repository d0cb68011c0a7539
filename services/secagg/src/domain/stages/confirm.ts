import type { ConfirmAnswer } from '../answer.ts';
import { quorumOf } from '../masking.ts';
import { wrongAnswer } from '../refuse.ts';
import { type Confirming, type Ended, tooFew, type Unmasking, withAnswer } from '../state.ts';
import { shortOfShares } from './survive.ts';

// Survivors sign whose vectors are in the sum, and of which model, for each other to compare.

/** Its signature is checked where keys are known; that it is about these survivors is part of that. */
export const checkConfirmation = ({ opened }: Confirming, { node, confirmation }: ConfirmAnswer): void => {
  if (confirmation.node !== node) throw wrongAnswer('The confirmation is of another node.');
  if (confirmation.model !== opened.modelId) throw wrongAnswer('MODEL_DIFFERS: it was given another model.');
};

export const takeConfirmation = (state: Confirming, answer: ConfirmAnswer): Confirming | Unmasking | Ended => {
  const next = { ...state, confirmations: withAnswer(state.confirmations, answer) };
  return next.confirmations.size === state.survivors.length ? closeConfirmations(next) : next;
};

/** Only who has confirmed is asked to open. */
export const closeConfirmations = (state: Confirming): Unmasking | Ended => {
  const { opened, roster, survivors, confirmations } = state;
  const quorum = quorumOf(roster.size, opened.colluders);
  if (confirmations.size < quorum) {
    return tooFew(
      opened,
      `${confirmations.size} of ${survivors.length} survivors confirmed in time; a quorum is ${quorum}.`,
    );
  }
  const short = shortOfShares(state, confirmations.keys());
  if (short !== null) return tooFew(opened, `${short} of the nodes that confirmed.`);
  return { ...state, stage: 'unmask', openings: new Map(), counts: new Map() };
};
