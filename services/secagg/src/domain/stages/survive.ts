import { AegisError } from '@aegis/errors';
import { type NodeId, quorumOf } from '../masking.ts';
import { ascending, type Confirming, type Ended, type Masking, type Shared, tooFew } from '../state.ts';

// The aggregator says whose vectors are in its sum. That is said once.

/** Throws REQUEST_MALFORMED for survivors that cannot be. */
export const checkSurvivors = ({ participants }: Shared, survivors: readonly NodeId[]): void => {
  if (new Set(survivors).size !== survivors.length)
    throw new AegisError('REQUEST_MALFORMED', 'A survivor is named twice.');
  const stranger = survivors.find((node) => !participants.has(node));
  if (stranger !== undefined) {
    throw new AegisError('REQUEST_MALFORMED', `Node ${stranger} did not share its keys: its vector is in no sum.`);
  }
};

export const takeSurvivors = (state: Masking, named: readonly NodeId[]): Confirming | Ended => {
  const { opened, participants, roster } = state;
  const { minSurvivors } = opened.terms;
  const survivors = ascending(named);
  const quorum = quorumOf(roster.size, opened.colluders);
  const needed = Math.max(minSurvivors, quorum);
  if (survivors.length < needed) {
    const why = `at least ${minSurvivors}, and a quorum of ${quorum} of the roster of ${roster.size}`;
    return tooFew(opened, `${survivors.length} nodes handed in a vector; needed are ${why}.`);
  }
  const among = new Set(survivors);
  const dropped = ascending([...participants].filter((node) => !among.has(node)));
  const { stage: _stage, ...shared } = state;
  const next: Confirming = { ...shared, stage: 'confirm', survivors, dropped, confirmations: new Map() };
  const short = shortOfShares(next, survivors);
  return short === null ? next : tooFew(opened, `${short} of the nodes that handed in a vector.`);
};

/** The first secret of which these helpers hold too few shares, in words; null: every one can be opened. */
export const shortOfShares = (
  { opened, neighbours, survivors, dropped }: Pick<Confirming, 'opened' | 'neighbours' | 'survivors' | 'dropped'>,
  helpers: Iterable<NodeId>,
): string | null => {
  const present = new Set(helpers);
  const { threshold } = opened.terms;
  for (const node of [...survivors, ...dropped]) {
    let holders = present.has(node) ? 1 : 0;
    for (const peer of neighbours.get(node) ?? []) if (present.has(peer)) holders += 1;
    if (holders < threshold)
      return `The secret of node ${node} needs ${threshold} shares, and ${holders} are with the rest`;
  }
  return null;
};
