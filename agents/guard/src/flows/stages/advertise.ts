import { sha256Hex } from '@aegis/core-native';
import { SecaggClient } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { canonicalPlan, type Masking, termsOf } from '../../domain/masking.ts';
import type { Task } from '../../domain/task.ts';
import type { Guard } from '../guard.ts';
import { gridOf } from '../masked-grid.ts';
import type { Signing } from '../signing.ts';

/** A round's last stage comes after its deadline, while others are waited for. */
const AFTER_TTL_SECONDS = 3_600;

/**
 * Round 0: fresh keys, signed over the task's terms. Throws what makes the terms none that this node could keep, before anything is
 * said; ROUND_REPEATED for terms that another task of the run had.
 */
export const advertise = async (guard: Guard, task: Task, masking: Masking, signing: Signing): Promise<void> => {
  const { journal, rounds, secrets, policy, clock, upstream, ending } = guard;
  const { taskId, runId, createdAt, ttl } = task;
  if (journal.masked(taskId)) return;
  gridOf(task, masking);
  // Every node signs over this hash. Of what it is, each sees for itself: a server that asks the others for less than nothing sees one alone.
  const { appHash, overrides } = await guard.runs.facts(runId);
  const text = canonicalPlan({ ...task, appHash, overrides }, masking);
  if ((await sha256Hex([Buffer.from(text)])) !== masking.plan) {
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
