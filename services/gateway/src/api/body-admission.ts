import { type BodyLease, type CallHead, readCredential, type StatusOf } from '@aegis/flower-wire';
import { checkTimestamp } from '../domain/credential.ts';
import { type BodyBudget, LARGE_BODY } from './body-budget.ts';

/** What an object of unknown length is taken for: stock clients cut arrays at 5 MiB. */
const CHUNK = 5.25 * 2 ** 20;

export type AdmitBody = (
  where: Pick<StatusOf, 'api' | 'method'>,
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
  ({ api, method }, head, announced) => {
    if (api === 'fleet' && (announced === null || announced > LARGE_BODY)) {
      checkTimestamp(readCredential(head).timestamp, now());
    }
    return budget.open(announced ?? (method === 'push-object' ? CHUNK : 0));
  };
