import { planDigest, SecaggClient } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { type Masking, termsOf } from '../../domain/masking.ts';
import { honestIn } from '../../domain/masking-policy.ts';
import type { Policy } from '../../domain/policy.ts';
import type { Task } from '../../domain/task.ts';
import type { Guard } from '../guard.ts';
import { gridOf, gridOptions } from '../masked-grid.ts';
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
  judgeNoise(policy, task, masking);
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
  if (!journal.beginRound({ task, stage: 'advertise', answer, update: null, over: null })) {
    client.abort();
    await secrets.drop(taskId);
    throw new AegisError('SECAGG_REFUSED', 'ROUND_REPEATED');
  }
  rounds.hold(taskId, client);
};

/**
 * TERMS_DIFFER for terms that do not fit the model; NOISE_BELOW_FLOOR where the least noise that a sum of these terms may have, over what this
 * node can change in it, is less than the owner asks for.
 */
const judgeNoise = ({ leastNoise, floors }: Policy, task: Task, masking: Masking): void => {
  const grid = gridOf(task, masking);
  if (task.kind !== 'train' || leastNoise === 0) return;
  const honest = honestIn(masking, floors);
  const noise = honest === 0 || masking.grid.noiseSigma === null ? 0 : grid.noise(honest).noise_multiplier;
  if (noise >= leastNoise) return;
  throw new AegisError(
    'SECAGG_REFUSED',
    `NOISE_BELOW_FLOOR: ${honest} nodes make a noise multiplier of ${Number(noise.toPrecision(6))}, the floor is ${leastNoise}`,
  );
};
