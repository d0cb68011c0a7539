import { npyElements } from '@aegis/core-native';
import type { KeptUpdate } from '../../domain/masked-round.ts';
import type { Task } from '../../domain/task.ts';
import type { Guard } from '../guard.ts';
import { readModel } from '../ready-model.ts';

export interface Covered {
  /** Elements of each tensor, in the model's order. */
  readonly tensors: Uint8Array[];
  /** The same of the task's model: what is masked is the difference. */
  readonly start: Uint8Array[];
}

/** What the mask covers of an update; of an evaluation, no tensors. */
export const tensorsOf = async (guard: Guard, { taskId, model }: Task, { tensors }: KeptUpdate): Promise<Covered> => {
  const covered: Covered = { tensors: [], start: [] };
  if (model === null || tensors.length === 0) return covered;
  for (const { name, dtype, shape, offset, length } of model.tensors) {
    const spec = { name, dtype, shape: [...shape] };
    const slices = tensors.find((tensor) => tensor.name === name)?.slices ?? [];
    const pieces = await Promise.all(
      slices.map((slice) => guard.parts.read(taskId, slice.file, slice.offset, slice.length)),
    );
    covered.tensors.push(await npyElements(Buffer.concat(pieces), spec));
    covered.start.push(await npyElements(await readModel(guard, model, offset, length), spec));
  }
  return covered;
};
