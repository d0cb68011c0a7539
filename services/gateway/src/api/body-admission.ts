import { type BodyLease, type CallHead, readCredential, type StatusOf } from '@aegis/flower-wire';
import { checkTimestamp } from '../domain/credential.ts';
import { type BodyBudget, LARGE_BODY } from './body-budget.ts';

export type AdmitBody = (
  where: Pick<StatusOf, 'api'>,
  head: Omit<CallHead, 'signal'>,
  announced: number | null,
) => BodyLease;

/**
 * Who may send a large body: on the Fleet API, whoever shows a node's three headers with a timestamp of now. That keeps
 * strangers out before a byte is read; whether the signature is genuine is for the flow to say. `announced` = null when
 * the length is not known.
 */
export const bodyAdmission =
  (budget: BodyBudget, now: () => number): AdmitBody =>
  ({ api }, head, announced) => {
    if (api === 'fleet' && (announced === null || announced > LARGE_BODY)) {
      checkTimestamp(readCredential(head).timestamp, now());
    }
    return budget.open(announced ?? 0);
  };
