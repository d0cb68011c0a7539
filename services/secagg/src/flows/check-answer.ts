import { CoreError } from '@aegis/core-native';
import { type CertifiedAdvert, Roster } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import type { Advert, Answer, Confirmation, OpenedAnswer, SharesAnswer } from '../domain/answer.ts';
import { wrongAnswer } from '../domain/refuse.ts';
import { checkAnswer } from '../domain/round.ts';
import type { Ground } from './ground.ts';
import type { LiveRound } from './live-round.ts';

/** A stage's answer as the node says it. */
export type Said =
  | { readonly stage: 'advertise'; readonly node: string; readonly advert: Advert; readonly certificate: string }
  | SharesAnswer
  | { readonly stage: 'confirm'; readonly node: string; readonly confirmation: Confirmation }
  | OpenedAnswer;

/** With what its certificate says; SECAGG_CERTIFICATE unless a pinned root issued one that is good now and was not revoked. */
export const readAnswer = ({ trust, clock }: Pick<Ground, 'trust' | 'clock'>, said: Said): Answer => {
  if (said.stage !== 'advertise') return said;
  if (trust === null) throw new AegisError('SECAGG_NOT_SERVED');
  const { subject, keyPem } = trust.openCertificate(said.certificate, clock.now());
  return { ...said, subject, signingKey: keyPem };
};

/**
 * Throws for what no honest node says, so that it is refused when it comes. All of it is judged in one turn of the event loop: what is written down
 * next was judged by the state it met.
 */
export const judgeAnswer = ({ clock }: Pick<Ground, 'clock'>, round: LiveRound, answer: Answer): void => {
  const { state } = round;
  checkAnswer(state, answer);
  try {
    if (answer.stage === 'advertise') {
      const { advert, subject, signingKey } = answer;
      const certified: CertifiedAdvert = { advert, subject, signingKey };
      Roster.create(round.opened.terms, [certified], Math.floor(clock.now() / 1000));
    } else if (answer.stage === 'confirm' && state.stage === 'confirm') {
      round.roster.checkConfirmation(answer.confirmation, [...state.survivors], round.opened.modelId);
    } else if (answer.stage === 'unmask' && (state.stage === 'unmask' || state.stage === 'open')) {
      const { node, seeds, keys } = answer;
      round.removal(state).check({ node, seeds: [...seeds], keys: [...keys] });
    }
  } catch (error) {
    if (error instanceof CoreError) throw wrongAnswer(`${error.detail.reason ?? error.code}.`);
    throw error;
  }
};
