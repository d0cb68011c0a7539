import type { ShareDelivery, Update } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { z } from 'zod';
import { judgeSpent } from '../../domain/policy.ts';
import { cutFile } from '../cut-parts.ts';
import { spentToday } from '../guard.ts';
import { gridOf } from '../masked-grid.ts';
import { hashOf } from '../model-hash.ts';
import { noiseSpent } from '../noise-charge.ts';
import { readModel, readyModel } from '../ready-model.ts';
import { lineOf } from '../refuse-task.ts';
import { forgetBefore, readRequest, type StageWork } from './stage.ts';
import { tensorsOf } from './update-tensors.ts';

const delivery = z.strictObject({ terms: z.string(), shares: z.array(z.unknown()) });
const VECTOR = 'masked';

/**
 * Round 2: waits for the SuperNode's answer and masks it. The vector is the task's answer, in the journal before a byte of it leaves;
 * keys and seed are forgotten with it.
 */
export const mask = async ({ guard, round, masking, client, request }: StageWork): Promise<void> => {
  const { policy, journal, rounds, secrets, parts, audit, clock, upstream } = guard;
  const { task } = round;
  const { taskId, runId, model } = task;
  const shares = readRequest(request, delivery);
  // Read again: it may have come while the server was waited for.
  const update = journal.masked(taskId)?.update ?? (await rounds.updateFor(taskId));
  if (model === null) throw new AegisError('SECAGG_REFUSED', 'MODEL_DIFFERS');
  await readyModel(guard, task);
  const hash = await hashOf(model, (offset, length) => readModel(guard, model, offset, length));
  if (hash !== model.modelId) {
    throw new AegisError('SECAGG_REFUSED', 'MODEL_DIFFERS');
  }
  const grid = gridOf(task, masking);
  const { maxExamples } = masking.grid;
  const weight = maxExamples === null ? 1 : grid.weightOf(update.weight, maxExamples);
  const input: Update = { ...(await tensorsOf(guard, task, update)), metrics: [...update.metrics], weight };
  const vector = await client.maskInput({ ...shares, model: hash } as ShareDelivery, grid, input);
  await parts.write(taskId, VECTOR, vector);
  const cut = await cutFile(parts, taskId, VECTOR, vector.byteLength, upstream.maxPartBytes);
  await secrets.seal(taskId, 'mask', client.save());
  if (journal.masked(taskId)?.over !== null) throw new AegisError('SECAGG_ROUND_OVER');
  // Judged when the answer came as well; but a server may hold many rounds until their answers leave on one day.
  const spent = spentToday(guard);
  const within = judgeSpent(policy, { answers: spent.answers, bytes: spent.bytes + vector.byteLength });
  if (!within.allowed) throw new AegisError('SECAGG_REFUSED', `${within.rule}: ${within.reason}`);
  audit.write({
    event: 'answer-released',
    ...lineOf(task),
    tensors: update.tensors.map(({ name }) => name),
    metrics: masking.grid.metrics.map(({ name }) => name),
    withheld: update.withheld,
    bytes: vector.byteLength,
    maskedAmong: masking.minSurvivors,
    ...(masking.grid.noiseSigma !== null && { noiseSigma: masking.grid.noiseSigma }),
    ...noted(noiseSpent(journal, policy)),
  });
  const masked = cut.map(({ partId }) => partId);
  journal.maskRound({
    ...{ taskId, runId, bytes: vector.byteLength, answeredAt: clock.now(), verdict: null },
    answer: { outcome: 'update', parts: cut, tensors: [], masked, metrics: [] },
  });
  await forgetBefore(guard, taskId, 'mask');
};

/** The round's own charge is among them since it began. */
const noted = (spent: ReturnType<typeof noiseSpent>) => (spent === null ? {} : { epsilonSpent: spent.epsilon });
