import { planDigest, SecaggClient } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { type Masking, termsOf } from '../../domain/masking.ts';
import type { Task } from '../../domain/task.ts';
import type { Guard } from '../guard.ts';
import { gridOptions } from '../masked-grid.ts';
import { judgeBudget, judgeNoise } from '../noise-charge.ts';
import type { Signing } from '../signing.ts';

/** A round's last stage comes after its deadline, while others are waited for. */
const AFTER_TTL_SECONDS = 3_600;

/**
 * Round 0: fresh keys, signed over the task's terms. Throws what makes the terms none that this node could keep, before anything is
 * said; ROUND_REPEATED for terms that another task of the run had.
 */
export const advertise = async (guard: Guard, task: Task, masking: Masking, signing: Signing): Promise<void> => {
  const { journal, rounds, secrets, policy, clock, upstream, ending } = guard;
  const { taskId, runId, kind, layout, config, createdAt, ttl } = task;
  if (journal.masked(taskId)) return;
  const charge = judgeNoise(policy, task, masking);
  // Every node signs over this hash. Of what it is, each sees for itself: a server that asks the others for less than nothing sees one alone.
  const { appHash, overrides } = await guard.runs.facts(runId);
  const { round, cohort } = masking;
  const terms = {
    run: runId,
    kind,
    round,
    cohort,
    grid: gridOptions(masking),
    maxExamples: masking.grid.maxExamples ?? 0,
  };
  if (planDigest({ ...terms, layout, config, appHash, overrides }) !== masking.plan) {
    throw new AegisError('SECAGG_REFUSED', 'TERMS_DIFFER: the plan is not that of this task');
  }
  signing.open(signing.certificatePem, clock.now());
  const nodeId = await upstream.nodeId(ending);
  const expires = Math.ceil(createdAt + ttl) + AFTER_TTL_SECONDS;
  const client = SecaggClient.advertise(`${nodeId}`, termsOf(runId, masking), policy.floors, signing.key, expires);
  await secrets.seal(taskId, 'advertise', client.save());
  const answer = JSON.stringify({ advert: client.advert, certificate: signing.certificatePem });
  try {
    // Nothing is waited for in between: two rounds that begin at once are charged one after the other.
    judgeBudget(guard, charge);
    if (!journal.beginRound({ task, stage: 'advertise', answer, update: null, over: null }, charge)) {
      throw new AegisError('SECAGG_REFUSED', 'ROUND_REPEATED');
    }
  } catch (error) {
    client.abort();
    await secrets.drop(taskId);
    throw error;
  }
  rounds.hold(taskId, client);
};
