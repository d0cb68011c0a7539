import { LedgerService, ReleaseProof } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { type LocalService, serviceOf } from '@aegis/service-kit';
import { commit } from '../flows/commit.ts';
import type { Ground } from '../flows/ground.ts';
import { plan } from '../flows/plan.ts';
import { release } from '../flows/release.ts';
import { reserve } from '../flows/reserve.ts';
import { readPolicy, writeBalance, writeRefusal, writeReservation } from './messages.ts';

/** What the aggregator asks before anything leaves. */
export const ledgerService = (ground: Ground): LocalService =>
  serviceOf(LedgerService, {
    plan: async ({ policy, units }) => {
      const { granted, noise, schedule, balances, refusal } = await plan(ground, readPolicy(policy), units);
      return {
        granted,
        noiseMultiplier: noise,
        schedule: [...schedule],
        balances: balances.map(writeBalance),
        refusal: refusal === null ? undefined : writeRefusal(refusal),
      };
    },
    reserve: async ({ key, policy, units, events }) => {
      const answer = await reserve(ground, { key, policy: readPolicy(policy), units, events });
      return {
        outcome:
          'granted' in answer
            ? { $case: 'granted', value: writeReservation(answer.granted) }
            : { $case: 'refused', value: writeRefusal(answer.refused) },
      };
    },
    commit: async ({ reservationId: id, events, resultDigest: result, inTheClear }) => {
      const answer = await commit(ground, { id, events, result, inTheClear });
      return {
        outcome:
          'committed' in answer
            ? { $case: 'committed', value: writeReservation(answer.committed) }
            : { $case: 'refused', value: writeRefusal(answer.refused) },
      };
    },
    release: async ({ reservationId: id, proof, reason }) => {
      const proven = proof === ReleaseProof.NOTHING_SEALED ? 'nothing-sealed' : '';
      return { reservation: writeReservation(await release(ground, { id, proof: proven, reason })) };
    },
  });
