import type { RosterRequest } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { z } from 'zod';
import { lineOf } from '../refuse-task.ts';
import { answered, readRequest, type StageWork } from './stage.ts';

const roster = z.strictObject({
  terms: z.string(),
  adverts: z.array(z.strictObject({ advert: z.unknown(), certificate: z.string() })),
});

/** Round 1: who else takes part, each with a certificate of the federation; this node's two secrets in shares, sealed for each. */
export const share = async (work: StageWork): Promise<void> => {
  const { guard, signing, round, masking, client, request } = work;
  const { terms, adverts } = readRequest(request, roster);
  // The modulus is that of the cohort: the sum of more could wrap.
  if (adverts.length > masking.cohort) {
    throw new AegisError('REQUEST_MALFORMED', `${adverts.length} adverts for a cohort of ${masking.cohort}.`);
  }
  const now = guard.clock.now();
  const certified = adverts.map(({ advert, certificate }) => {
    const { subject, keyPem } = signing.open(certificate, now);
    return { advert, subject, signingKey: keyPem };
  });
  const shares = await client.shareKeys({ terms, adverts: certified } as RosterRequest, Math.floor(now / 1000));
  const { minSurvivors: survivors, threshold } = masking;
  guard.audit.write({ event: 'round-joined', ...lineOf(round.task), nodes: adverts.length, survivors, threshold });
  await answered(work, 'share', shares);
};
