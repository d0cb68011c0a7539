import { readNpyHeader } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import type { KeptUpdate } from '../../domain/masked-round.ts';
import type { ModelTensor, Task } from '../../domain/task.ts';
import type { Guard } from '../guard.ts';
import { readModel } from '../ready-model.ts';

/** What the mask covers of an update: each tensor's elements, and those of the task's model, which it is the difference from. */
export const tensorsOf = async (
  guard: Guard,
  { taskId, model }: Task,
  { tensors }: KeptUpdate,
): Promise<{ tensors: Buffer[]; start: Buffer[] }> => {
  const [values, start]: [Buffer[], Buffer[]] = [[], []];
  if (model === null || tensors.length === 0) return { tensors: values, start };
  for (const tensor of model.tensors) {
    const slices = tensors.find(({ name }) => name === tensor.name)?.slices ?? [];
    const pieces = await Promise.all(
      slices.map(({ file, offset, length }) => guard.parts.read(taskId, file, offset, length)),
    );
    values.push(elementsOf(tensor, Buffer.concat(pieces)));
    start.push(elementsOf(tensor, await readModel(guard, model, tensor.offset, tensor.length)));
  }
  return { tensors: values, start };
};

/** The elements of an .npy file in C order. */
const elementsOf = ({ name, shape }: ModelTensor, npy: Buffer): Buffer => {
  const header = readNpyHeader(npy);
  if (header.fortranOrder && shape.filter((axis) => axis > 1).length > 1) {
    throw new AegisError('REPLY_MALFORMED', `The tensor "${name}" is in Fortran order.`);
  }
  return npy.subarray(header.dataOffset);
};
