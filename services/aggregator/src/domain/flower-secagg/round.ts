import { AegisError } from '@aegis/errors';
import {
  type Answer,
  checkKeys,
  checkOpenings,
  checkSealed,
  type Fact,
  indexOf,
  STAGES,
  type Stage,
} from './answer.ts';
import {
  type Collecting,
  connected,
  type Ended,
  near,
  type Openable,
  type Round,
  type SettingUp,
  type Sharing,
  tooFew,
  type Unmasking,
} from './state.ts';
import { type FlowerTerms, type NodeId, neighboursOf } from './terms.ts';

type Asking = SettingUp | Sharing | Collecting | Unmasking;

const nobody: ReadonlySet<NodeId> = new Set();

export const beginRound = (terms: FlowerTerms): Round => ({
  stage: 'setup',
  terms,
  neighbours: neighboursOf(terms),
  left: nobody,
  keys: new Map(),
});

/** Folds the next fact in. What comes too late, or nobody asked for, changes nothing. */
export function afterFact(round: Round, fact: Fact): Round {
  if (round.stage === 'ended') return round;
  if (fact.kind === 'ended') return { stage: 'ended', code: 'SECAGG_ROUND_OVER', reason: fact.reason };
  if (round.stage === 'open') return round;
  if (fact.kind === 'closed') return fact.stage === round.stage ? closed(round) : round;
  if (fact.kind === 'left') {
    if (fact.stage !== round.stage || !waitedFor(round).has(fact.node)) return round;
    return onceAllSaid({ ...round, left: new Set(round.left).add(fact.node) });
  }
  const { answer } = fact;
  return answer.stage === round.stage && waitedFor(round).has(answer.node) ? onceAllSaid(taken(round, answer)) : round;
}

/** Who takes part in the stage under way. */
export function askedIn(round: Round): ReadonlySet<NodeId> {
  switch (round.stage) {
    case 'setup':
      return new Set(round.terms.ring);
    case 'share_keys':
      return new Set(round.keys.keys());
    case 'collect_masked_vectors':
      return round.participants;
    case 'unmask':
      return round.delivered;
    default:
      return nobody;
  }
}

/** Who has neither answered nor left. */
export function waitedFor(round: Round): Set<NodeId> {
  if (round.stage === 'open' || round.stage === 'ended') return new Set();
  const said = answeredIn(round);
  return new Set([...askedIn(round)].filter((node) => !said.has(node) && !round.left.has(node)));
}

/**
 * Whether an answer may be kept. SECAGG_ROUND_OVER if its node is not asked any more, SECAGG_SECOND_ANSWER if it has answered (whoever asks
 * compares first: the same answer again is none), SECAGG_ANSWER for what no stock node says.
 */
export function checkAnswer(round: Round, answer: Answer): void {
  const { node, stage } = answer;
  if (round.stage === 'ended') throw over(round.reason);
  if (round.stage !== stage) {
    const isEarly = round.stage !== 'open' && STAGES.indexOf(stage) > STAGES.indexOf(round.stage);
    throw isEarly ? notYet(stage) : over('The answer came when the time of its stage was over.');
  }
  if (answeredIn(round).has(node)) throw new AegisError('SECAGG_SECOND_ANSWER', `Stage ${stage}.`);
  if (!waitedFor(round).has(node)) throw over('The round goes on without it.');
  if (round.stage === 'setup' && stage === 'setup') checkKeys(answer, round.keys.values());
  if (round.stage === 'share_keys' && stage === 'share_keys') {
    const receivers = new Set(near(round, node, round.keys));
    receivers.delete(node);
    checkSealed(answer.sealed, receivers);
  }
  if (round.stage === 'unmask' && stage === 'unmask') {
    const [active, dead] = [round.delivered, round.dropped].map((nodes) => new Set(near(round, node, nodes)));
    checkOpenings(answer.openings, active ?? nobody, dead ?? nobody, round.terms.shares);
  }
}

const over = (why: string): AegisError => new AegisError('SECAGG_ROUND_OVER', why);
const notYet = (stage: Stage): AegisError =>
  new AegisError('SECAGG_ANSWER', `The round has not come to the stage "${stage}".`);

function answeredIn(round: Asking): Pick<ReadonlySet<NodeId>, 'has'> {
  switch (round.stage) {
    case 'setup':
      return round.keys;
    case 'share_keys':
      return round.sealed;
    case 'collect_masked_vectors':
      return round.delivered;
    case 'unmask':
      return round.openings;
  }
}

function taken(round: Asking, answer: Answer): Asking {
  const { node } = answer;
  if (round.stage === 'setup' && answer.stage === 'setup')
    return { ...round, keys: new Map(round.keys).set(node, { pk1: answer.pk1, pk2: answer.pk2 }) };
  if (round.stage === 'share_keys' && answer.stage === 'share_keys')
    return { ...round, sealed: new Map(round.sealed).set(node, answer.sealed) };
  if (round.stage === 'collect_masked_vectors') return { ...round, delivered: new Set(round.delivered).add(node) };
  if (round.stage === 'unmask' && answer.stage === 'unmask')
    return { ...round, openings: new Map(round.openings).set(node, answer.openings) };
  return round;
}

/** Nobody is waited for once every secret has its shares, or nobody is left to say anything. */
function onceAllSaid(round: Asking): Round {
  if (round.stage === 'unmask' && isOpenable(round)) return { ...round, stage: 'open' };
  return waitedFor(round).size === 0 ? closed(round) : round;
}

function closed(round: Asking): Round {
  switch (round.stage) {
    case 'setup':
      return closeSetup(round);
    case 'share_keys':
      return closeSharing(round);
    case 'collect_masked_vectors':
      return closeCollecting(round);
    case 'unmask':
      return tooFew(
        `${round.openings.size} of ${round.delivered.size} nodes opened their shares in time; some secret has fewer than ${round.terms.threshold}.`,
      );
  }
}

/** Who fails here is in nobody's sum, and nobody's list: nothing was masked with it. */
function closeSetup(round: SettingUp): Sharing | Ended {
  const present = connected(round, round.keys.keys());
  if (present.size < 2) return lonely(round, round.keys.size, round.terms.ring.length, 'sent their keys');
  const inOrder = round.terms.ring.filter((node) => present.has(node));
  const keys = new Map([...round.keys].filter(([node]) => present.has(node)));
  const sorted = new Map(inOrder.map((node) => [node, keys.get(node) as NonNullable<ReturnType<typeof keys.get>>]));
  return { ...round, stage: 'share_keys', keys: sorted, sealed: new Map(), left: nobody };
}

/** As in the stage before: ciphertexts of who is left out are not passed on, so that nobody masks with it. */
function closeSharing(round: Sharing): Collecting | Ended {
  const participants = connected(round, round.sealed.keys());
  if (participants.size < 2) return lonely(round, round.sealed.size, round.keys.size, 'shared them');
  return { ...round, stage: 'collect_masked_vectors', participants, delivered: new Set(), left: nobody };
}

const lonely = ({ terms }: SettingUp | Sharing, said: number, asked: number, what: string): Ended =>
  tooFew(
    `${said} of ${asked} nodes ${what} in time; too few of them have ${terms.threshold} neighbours left, themselves included.`,
  );

/** From here on masks are in the sum: those of a node that delivered nothing must be rebuilt, and there must be shares for it. */
function closeCollecting(round: Collecting): Unmasking | Ended {
  const { delivered, participants, terms } = round;
  if (delivered.size < 2)
    return tooFew(`${delivered.size} of ${participants.size} nodes delivered in time; a sum needs two.`);
  const dropped = new Set([...participants].filter((node) => !delivered.has(node)));
  const unknown = [...participants].find((node) => {
    const holders = near(round, node, delivered).length;
    return holders < terms.threshold && (delivered.has(node) || holders > 0);
  });
  if (unknown !== undefined) {
    const counts = `${delivered.size} of ${participants.size} nodes delivered in time`;
    return tooFew(`${counts}; fewer than ${terms.threshold} of them hold a share of node ${unknown}.`);
  }
  return { ...round, stage: 'unmask', dropped, openings: new Map(), left: nobody };
}

/** Whose secret has to be known: a dropped node none of whose neighbours delivered has no mask in the sum. */
export const secretsOf = (round: Unmasking | Openable): NodeId[] =>
  [...round.participants].filter((node) => near(round, node, round.delivered).length > 0);

/** What was opened, by owner and index; where two holders claim one index, the first counts. */
export function sharesByOwner({ openings }: Unmasking | Openable): Map<NodeId, Map<number, Uint8Array>> {
  const owners = new Map<NodeId, Map<number, Uint8Array>>();
  for (const { of, share } of [...openings.values()].flat()) {
    const shares = owners.get(of) ?? new Map<number, Uint8Array>();
    owners.set(of, shares);
    const index = indexOf(share);
    if (!shares.has(index)) shares.set(index, share);
  }
  return owners;
}

function isOpenable(round: Unmasking): boolean {
  const { threshold } = round.terms;
  // looked at once there can be enough: each answer has one share of a secret
  if (round.openings.size < threshold) return false;
  const shares = sharesByOwner(round);
  return secretsOf(round).every((node) => (shares.get(node)?.size ?? 0) >= threshold);
}
