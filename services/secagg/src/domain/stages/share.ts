import type { SealedShare, SharesAnswer } from '../answer.ts';
import type { NodeId } from '../masking.ts';
import { wrongAnswer } from '../refuse.ts';
import { type Ended, type Excluded, type Masking, type Sharing, tooFew, withAnswer } from '../state.ts';

// Nodes share their two secrets among their neighbours, sealed. What is sealed the service cannot read; that nothing is missing it can see.

/** Nonce, two shares and the tag, in hexadecimal (docs/secure-aggregation.md, formats). */
const SEALED_DIGITS = 2 * (12 + 2 * 48 + 16);

/** A share that is missing would end the round for the neighbour that needs it. */
export const checkShares = (state: Sharing, { node, shares }: SharesAnswer): void => {
  const expected = state.neighbours.get(node) ?? new Set();
  const receivers = new Set(shares.map(({ peer }) => peer));
  if (receivers.size !== shares.length) throw wrongAnswer('Two shares are for one neighbour.');
  const stranger = shares.find(({ peer }) => !expected.has(peer));
  if (stranger) throw wrongAnswer(`A share is for ${stranger.peer}, which is no neighbour.`);
  if (receivers.size !== expected.size)
    throw wrongAnswer(`There are ${receivers.size} shares for ${expected.size} neighbours.`);
  if (shares.some(({ sealed }) => sealed.length !== SEALED_DIGITS))
    throw wrongAnswer('A sealed share has another length.');
};

export const takeShares = (state: Sharing, answer: SharesAnswer): Sharing | Masking | Ended => {
  const next = { ...state, shares: withAnswer(state.shares, answer) };
  return next.shares.size === state.roster.size ? closeShares(next) : next;
};

export const closeShares = (state: Sharing): Masking | Ended => {
  const { opened, shares, roster } = state;
  const participants = connected(state);
  const { minSurvivors } = opened.terms;
  if (participants.size < minSurvivors) {
    const counts = `${shares.size} of ${roster.size} nodes shared their keys in time, ${participants.size} of them with enough neighbours`;
    return tooFew(opened, `${counts}; ${minSurvivors} are needed.`);
  }
  const left = [...roster.keys()]
    .filter((node) => !participants.has(node))
    .map((node): Excluded => ({ node, reason: shares.has(node) ? 'TOO_FEW_NEIGHBOURS' : 'NOT_SHARED' }));
  const { neighbours } = state;
  return {
    ...{ stage: 'mask', opened, roster, neighbours, shares, participants },
    excluded: [...state.excluded, ...left],
    deliveries: deliveriesOf(shares, participants),
  };
};

/** Who shared, without those whose secrets too few neighbours would hold; what that leaves is looked at again. */
const connected = ({ opened, shares, neighbours }: Sharing): Set<NodeId> => {
  const participants = new Set(shares.keys());
  const { threshold } = opened.terms;
  const holders = (node: NodeId): number => {
    let count = 1; // itself
    for (const peer of neighbours.get(node) ?? []) if (participants.has(peer)) count += 1;
    return count;
  };
  for (;;) {
    const lonely = [...participants].filter((node) => holders(node) < threshold);
    if (lonely.length === 0) return participants;
    for (const node of lonely) participants.delete(node);
  }
};

const deliveriesOf = (shares: Sharing['shares'], participants: ReadonlySet<NodeId>) => {
  const deliveries = new Map<NodeId, SealedShare[]>([...participants].map((node) => [node, []]));
  for (const { node, shares: sealed } of shares.values()) {
    if (!participants.has(node)) continue;
    for (const share of sealed) deliveries.get(share.peer)?.push({ peer: node, sealed: share.sealed });
  }
  return deliveries;
};
