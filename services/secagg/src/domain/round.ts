import type { Answer, AnsweredStage } from './answer.ts';
import type { Fact } from './fact.ts';
import type { NodeId } from './masking.ts';
import { over, wrongAnswer } from './refuse.ts';
import { checkAdvert, closeAdverts, takeAdvert } from './stages/advertise.ts';
import { checkConfirmation, closeConfirmations, takeConfirmation } from './stages/confirm.ts';
import { checkShares, closeShares, takeShares } from './stages/share.ts';
import { takeSurvivors } from './stages/survive.ts';
import { checkOpening, closeOpenings, takeOpening } from './stages/unmask.ts';
import type { Round } from './state.ts';

/** Folds the next fact in. Facts that come too late, or that no rule lets in, change nothing. */
export const afterFact = (round: Round, fact: Fact): Round => {
  if (fact.kind === 'ended') return { stage: 'ended', opened: round.opened, code: fact.code, reason: fact.reason };
  if (fact.kind === 'closed') return round.stage === fact.stage ? closed(round) : round;
  if (fact.kind === 'survivors') return round.stage === 'mask' ? takeSurvivors(round, fact.survivors) : round;
  return mayAnswer(round, fact.answer) ? taken(round, fact.answer) : round;
};

const taken = (round: Round, answer: Answer): Round => {
  if (round.stage === 'advertise' && answer.stage === 'advertise') return takeAdvert(round, answer);
  if (round.stage === 'share' && answer.stage === 'share') return takeShares(round, answer);
  if (round.stage === 'confirm' && answer.stage === 'confirm') return takeConfirmation(round, answer);
  if ((round.stage === 'unmask' || round.stage === 'open') && answer.stage === 'unmask')
    return takeOpening(round, answer);
  return round;
};

const closed = (round: Round): Round => {
  switch (round.stage) {
    case 'advertise':
      return closeAdverts(round);
    case 'share':
      return closeShares(round);
    case 'confirm':
      return closeConfirmations(round);
    case 'unmask':
      return closeOpenings(round);
    default:
      return round;
  }
};

/** The stage that does not wait for ever. */
export const timedStage = ({ stage }: Round): AnsweredStage | null =>
  stage === 'advertise' || stage === 'share' || stage === 'confirm' || stage === 'unmask' ? stage : null;

/** Whether the node is asked in the stage that the round is in. */
const mayAnswer = (round: Round, { node }: Pick<Answer, 'node'>): boolean => {
  switch (round.stage) {
    case 'advertise':
      return round.opened.cohort.some((participant) => participant.node === node);
    case 'share':
      return round.roster.has(node);
    case 'confirm':
      return round.survivors.includes(node);
    case 'unmask':
    case 'open':
      return round.confirmations.has(node);
    default:
      return false;
  }
};

/** What was kept of a node's answer to this stage. */
export const keptAnswer = (round: Round, stage: AnsweredStage, node: NodeId): Answer | null => {
  if (round.stage === 'ended') return null;
  if (round.stage === 'advertise') return stage === 'advertise' ? (round.adverts.get(node) ?? null) : null;
  if (stage === 'advertise') return round.roster.get(node) ?? null;
  if (round.stage === 'draw') return null;
  if (stage === 'share') return round.shares.get(node) ?? null;
  if (!('confirmations' in round)) return null;
  if (stage === 'confirm') return round.confirmations.get(node) ?? null;
  return 'openings' in round ? (round.openings.get(node) ?? null) : null;
};

/**
 * Whether an answer that nothing is kept of yet may be: SECAGG_ROUND_OVER when the node is not asked any more, SECAGG_ANSWER for what no
 * honest node says. Signatures are checked elsewhere.
 */
export const checkAnswer = (round: Round, answer: Answer): void => {
  if (round.stage === 'ended') throw over(round.reason);
  if (round.stage === answer.stage || (round.stage === 'open' && answer.stage === 'unmask')) {
    if (!mayAnswer(round, answer)) throw over(whyNotAsked(round, answer.node));
    if (round.stage === 'advertise' && answer.stage === 'advertise') checkAdvert(round, answer);
    if (round.stage === 'share' && answer.stage === 'share') checkShares(round, answer);
    if (round.stage === 'confirm' && answer.stage === 'confirm') checkConfirmation(round, answer);
    if (answer.stage === 'unmask' && 'openings' in round) checkOpening(round, answer);
    return;
  }
  if (order.indexOf(answer.stage) < order.indexOf(round.stage)) throw over(whyNotAsked(round, answer.node));
  throw wrongAnswer(`The round has not come to the stage "${answer.stage}".`);
};

const order: readonly Round['stage'][] = ['advertise', 'draw', 'share', 'mask', 'confirm', 'unmask', 'open', 'ended'];

/** Why nothing (more) is asked of this node. */
export const whyNotAsked = (round: Round, node: NodeId): string => {
  if (round.stage === 'ended') return round.reason;
  if (!round.opened.cohort.some((participant) => participant.node === node)) return 'The node is not of this round.';
  if ('excluded' in round) {
    const excluded = round.excluded.find((one) => one.node === node);
    if (excluded) return `The round goes on without it: ${excluded.reason}.`;
  }
  if ('survivors' in round && !round.survivors.includes(node)) return 'Its vector is not in the sum.';
  return 'The answer came when the time of its stage was over.';
};
