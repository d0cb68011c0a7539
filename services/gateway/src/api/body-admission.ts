import { AegisError } from '@aegis/errors';
import { type BodyLease, type CallHead, readCredential, type StatusOf } from '@aegis/flower-wire';
import { classOf } from '../domain/admission.ts';
import { checkTimestamp } from '../domain/credential.ts';
import type { Admission } from '../flows/admission.ts';
import { claimOf } from '../flows/authenticate-node.ts';
import { type BodyBudget, LARGE_BODY } from './body-budget.ts';

/** What an object of unknown length is taken for: stock clients cut arrays at 5 MiB. */
const CHUNK = 5.25 * 2 ** 20;

export type AdmitBody = (
  where: Pick<StatusOf, 'api' | 'method'>,
  head: Omit<CallHead, 'signal'>,
  announced: number | null,
) => BodyLease;

export interface BodyAdmissionParts {
  readonly budget: BodyBudget;
  readonly admission: Pick<Admission, 'arrives' | 'doubted' | 'pressure'>;
  /** Unix milliseconds. */
  readonly now: () => number;
}

const notNow = new AegisError('RATE_LIMIT', 'large bodies of strangers, while the gateway is busy.');

/**
 * Who may call, and who may send a large body: on the Fleet API, whoever shows a node's three headers with a timestamp of now. That keeps
 * strangers out before a byte is read; whether the signature is genuine is for the flow to say. `announced` = null when
 * the length is not known.
 */
export const bodyAdmission =
  ({ budget, admission, now }: BodyAdmissionParts): AdmitBody =>
  ({ api, method }, head, announced) => {
    const key = head.binary('flwr-public-key');
    const holder = admission.arrives(classOf(api, method), {
      address: head.peer,
      connection: head.connection,
      // The Control API asks for no proof of a key.
      claims: key === null || api === 'control' ? undefined : claimOf(key),
    });
    if (api === 'fleet' && (announced === null || announced > LARGE_BODY)) {
      try {
        checkTimestamp(readCredential(head).timestamp, now());
      } catch (caught) {
        // As where signatures are looked at: nobody spends in the name of a neighbour whose key he knows.
        if (key !== null) admission.doubted(head.connection, claimOf(key));
        throw caught;
      }
      // Under load nothing large is read for somebody whom we may not know at all. Nodes show who they are with their next heartbeat.
      const isLarge = announced !== null || method === 'push-object';
      if (holder === null && isLarge && admission.pressure !== 'calm') throw notNow;
    }
    // Whoever uses the Control API shows no account, and has apps to send.
    return budget.open(announced ?? (method === 'push-object' ? CHUNK : 0), api === 'control' ? 'control' : holder);
  };
