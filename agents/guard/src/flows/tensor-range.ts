import { CoreError, npyValueRange } from '@aegis/core-native';
import type { FileSlice } from '../domain/answer.ts';
import type { TensorFacts } from '../domain/policy.ts';
import type { Task } from '../domain/task.ts';
import type { Guard } from './guard.ts';

/** The values of a tensor of an answer, in their own scale: what trained, before any clip, noise or mask. */
export const rangeOf = async (
  { parts }: Guard,
  { taskId, model }: Task,
  name: string,
  slices: readonly FileSlice[],
): Promise<TensorFacts['range']> => {
  const pieces = slices.map(({ file, offset, length }) => parts.read(taskId, file, offset, length));
  const dtype = model?.tensors.find((tensor) => tensor.name === name)?.dtype;
  try {
    return await npyValueRange(Buffer.concat(await Promise.all(pieces)), dtype);
  } catch (error) {
    if (error instanceof CoreError) return 'no-numbers';
    throw error;
  }
};
