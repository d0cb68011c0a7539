import type { AskedStage, Confirmation, SealedShare } from './answer.ts';
import type { NodeId } from './masking.ts';
import { over, wrongAnswer } from './refuse.ts';
import { whyNotAsked } from './round.ts';
import { ascending, type Round, type Shared, type Survived, type Unmasking } from './state.ts';

/** What a node is asked next. The same whenever it is asked for, so that a node that asks again is shown nothing new. */
export type StageRequest =
  | { readonly stage: 'share'; readonly roster: readonly { readonly advert: unknown; readonly certificate: string }[] }
  | { readonly stage: 'mask'; readonly shares: readonly SealedShare[] }
  | { readonly stage: 'confirm'; readonly survivors: readonly NodeId[] }
  | {
      readonly stage: 'unmask';
      readonly survivors: readonly NodeId[];
      readonly dropped: readonly NodeId[];
      readonly confirmations: readonly Confirmation[];
    }
  | { readonly stage: 'done' };

/**
 * What follows this stage for a node that has answered it; null: not settled yet. SECAGG_ROUND_OVER: nothing follows.
 * The vector of the stage `mask` went elsewhere: who waits there waits to hear whether it is in the sum.
 */
export const nextRequest = (round: Round, answered: AskedStage, node: NodeId): StageRequest | null => {
  if (round.stage === 'ended') throw over(round.reason);
  if (round.stage === 'advertise') {
    if (answered === 'mask') throw tooEarly();
    return null;
  }
  if (!round.roster.has(node)) throw over(whyNotAsked(round, node));
  if (round.stage === 'draw') return null;
  if (answered === 'advertise') return shareRequest(round.roster);
  if (round.stage === 'share') {
    if (answered === 'mask') throw tooEarly();
    return null;
  }
  return afterSharing(round, answered, node);
};

const afterSharing = (
  round: Extract<Round, Shared>,
  answered: Exclude<AskedStage, 'advertise'>,
  node: NodeId,
): StageRequest | null => {
  if (!round.participants.has(node)) throw over(whyNotAsked(round, node));
  if (answered === 'share') return { stage: 'mask', shares: sortedShares(round, node) };
  if (round.stage === 'mask') return null;
  if (!round.survivors.includes(node)) throw over(whyNotAsked(round, node));
  if (answered === 'mask') return confirmRequest(round.survivors);
  if (round.stage === 'confirm') return null;
  if (!round.confirmations.has(node)) throw over(whyNotAsked(round, node));
  return answered === 'confirm' ? unmaskRequest(round) : { stage: 'done' };
};

const tooEarly = () => wrongAnswer('The round has not come to the stage "mask".');

/** What all nodes are asked alike is one object for all: whoever writes it down does so once. */
const once = <K extends object>(make: (of: K) => StageRequest) => {
  const made = new WeakMap<K, StageRequest>();
  return (of: K): StageRequest => {
    const request = made.get(of) ?? make(of);
    made.set(of, request);
    return request;
  };
};

const shareRequest = once((roster: Shared['roster']) => ({
  stage: 'share',
  roster: ascending(roster.keys()).flatMap((node) => {
    const entry = roster.get(node);
    return entry ? [{ advert: entry.advert, certificate: entry.certificate }] : [];
  }),
}));

const confirmRequest = once((survivors: Survived['survivors']) => ({ stage: 'confirm', survivors }));

const sortedShares = ({ deliveries }: Shared, node: NodeId): SealedShare[] => {
  const shares = deliveries.get(node) ?? [];
  const byPeer = new Map(shares.map((share) => [share.peer, share]));
  return ascending(byPeer.keys()).flatMap((peer) => byPeer.get(peer) ?? []);
};

const unmaskRequest = (round: Survived & Pick<Unmasking, 'confirmations'>): StageRequest => {
  const known = unmaskRequests.get(round.confirmations);
  if (known) return known;
  const { survivors, dropped, confirmations } = round;
  const signed = ascending(confirmations.keys()).flatMap((node) => confirmations.get(node)?.confirmation ?? []);
  const request: StageRequest = { stage: 'unmask', survivors, dropped, confirmations: signed };
  unmaskRequests.set(confirmations, request);
  return request;
};
const unmaskRequests = new WeakMap<Unmasking['confirmations'], StageRequest>();
