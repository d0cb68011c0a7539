import type { RoundSummary, RunRecord } from '../../services/aggregator/src/domain/run.ts';
import { checkLedger, checkPaid } from './privacy-checks.ts';
import { meanOf } from './reference.ts';
import type { KnownTask, Learned, Mean } from './witness.ts';
import type { World } from './world.ts';

/** What must be true of a run that is over, whatever happened on the way. */
export async function checkRun(world: World, run: RunRecord): Promise<void> {
  const { witness } = world;
  if (run.outcome === 'failed' && run.details === '') witness.fail('every run ends', 'it failed without a reason');
  if (run.outcome === 'completed' && run.history.length !== run.plan.rounds)
    witness.fail('rounds go forward', `it completed with ${run.history.length} of ${run.plan.rounds} rounds`);
  const { startModelId } = run;
  if (world.shape.firstModel === 'node' && startModelId !== null) await checkFirstModel(world, run.runId, startModelId);
  let before = startModelId ?? '';
  for (const summary of run.history) {
    await checkRound(world, run, summary, before);
    before = summary.modelId;
  }
  if (run.plan.privacy !== undefined) checkLedger(world, run);
}

async function checkRound(world: World, run: RunRecord, summary: RoundSummary, before: string): Promise<void> {
  const { witness } = world;
  const { round, modelId } = summary;
  const mean = witness.means.get(`${run.runId} train ${round} ${modelId}`);
  if (mean === undefined)
    return witness.fail('the model is the mean', `nobody put the model of round ${round} together`);
  const counted = new Set(mean.folded.map((answer) => answer.taskId));
  const isSecret = run.plan.privacy !== undefined && run.plan.privacy.sampling.kind !== 'none';
  if (counted.size !== summary.accepted && !isSecret)
    witness.fail('no acknowledged update lost', `round ${round} reports ${summary.accepted}, counted ${counted.size}`);
  for (const task of acknowledged(world, mean)) {
    if (!counted.has(task.taskId))
      witness.fail(
        'no acknowledged update lost',
        `task ${task.taskId} of round ${round} was accepted, but does not count`,
      );
  }
  const updates = mean.folded.map(({ taskId }) => learnedOf(world, taskId));
  if (updates.includes(undefined))
    return witness.fail('the model is the mean', `round ${round} counts what no node sent`);
  if (run.plan.privacy === undefined) await checkModel(world, modelId, before, updates as Learned[], round);
  else checkPaid(world, mean.room, modelId);
  checkEvaluation(world, run, summary);
}

/** A node made it, and it is what that node sent. */
async function checkFirstModel(world: World, runId: bigint, modelId: string): Promise<void> {
  const { witness, disk } = world;
  const [answer] = witness.means.get(`${runId} initial-model 0 ${modelId}`)?.folded ?? [];
  const learned = answer === undefined ? undefined : learnedOf(world, answer.taskId);
  const model = await disk.models.get(modelId);
  // a first model that nothing came of is removed
  if (model === null) return;
  if (learned === undefined) return witness.fail('the model is the mean', 'no node made the first model');
  for (const { name, shape, offset, length } of model.tensors)
    if (
      !(await disk.models.read(modelId, offset, length)).equals(meanOf([{ ...learned.update, weight: 1 }], name, shape))
    )
      witness.fail('the model is the mean', `${name} of the first model is not what its node sent`);
}

const acknowledged = ({ witness }: World, { room }: Mean): KnownTask[] =>
  [...witness.tasks.values()].filter(
    (task) =>
      task.room.runId === room.runId &&
      task.room.round === room.round &&
      task.room.kind === room.kind &&
      task.room.attempt === room.attempt &&
      witness.told.get(task.taskId)?.some((told) => told.word === 'accepted'),
  );

/** The answer to the task that was accepted; when its node never heard so, the only one it made. */
function learnedOf({ witness }: World, taskId: string): Learned | undefined {
  const told = witness.told.get(taskId)?.find(({ word }) => word === 'accepted');
  if (told !== undefined) return witness.learnt.get(`${taskId} ${told.content}`);
  const made = [...witness.learnt].filter(([key]) => key.startsWith(`${taskId} `)).map(([, learned]) => learned);
  return made.find((learned) => learned.manner === 'honest') ?? made[0];
}

async function checkModel(world: World, modelId: string, before: string, updates: Learned[], round: number) {
  const { disk, witness } = world;
  const model = await disk.models.get(modelId);
  const start = await disk.models.get(before);
  if (model === null || start === null)
    return witness.fail('the model is the mean', `a model of round ${round} is gone`);
  for (const { name, shape, offset, length } of model.tensors) {
    const expected = meanOf(
      updates.map(({ update }) => update),
      name,
      shape,
    );
    if (!(await disk.models.read(modelId, offset, length)).equals(expected))
      witness.fail('the model is the mean', `${name} of round ${round} is not the mean of ${updates.length} updates`);
    const { offset: from, length: bytes } = start.tensors.find((tensor) => tensor.name === name) ?? {
      offset: 0,
      length: 0,
    };
    const sent = await disk.models.read(before, from, bytes);
    const payload = sent.subarray(sent.length - 4 * (updates[0]?.from.get(name)?.length ?? 0));
    for (const { from: received } of updates) {
      const values = received.get(name) ?? [];
      if (!values.every((value, at) => Object.is(value, payload.readFloatLE(4 * at))))
        witness.fail('the model is the mean', `a node of round ${round} trained another model than the round's`);
    }
  }
}

/** Each node's evaluation reports a number of its own with weight 1: the mean tells who was counted. */
function checkEvaluation(
  { witness }: World,
  run: RunRecord,
  { round, evaluated, evaluateMetrics }: RoundSummary,
): void {
  const mask = evaluateMetrics.find(({ key }) => key === 'mask')?.value.value;
  if (typeof mask !== 'number') return;
  const counted = Math.round(mask * evaluated);
  const bits = [...counted.toString(2)].filter((bit) => bit === '1').length;
  if (bits !== evaluated)
    witness.fail('no update counted twice', `evaluation ${round}: ${evaluated} count as mask ${counted}`);
  for (const { taskId, room, nodeId } of witness.tasks.values()) {
    if (room.runId !== run.runId || room.round !== round || room.kind !== 'evaluate') continue;
    const told = witness.told.get(taskId)?.some(({ word }) => word === 'accepted');
    if (told && (counted & (2 ** witness.nodeOf(nodeId))) === 0)
      witness.fail(
        'no acknowledged update lost',
        `evaluation ${taskId} of round ${round} was accepted, but does not count`,
      );
  }
}
