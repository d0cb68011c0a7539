import { readNpyHeader } from '@aegis/core-native';
import type { FileSlice } from '../domain/answer.ts';
import type { Task } from '../domain/task.ts';
import type { Guard } from './guard.ts';
import { readModel, readyModel } from './ready-model.ts';

/** An .npy header is a hundred bytes or two; one that does not end here is none that numpy writes for a tensor. */
const HEADER_BYTES = 4_096;

/** What a tensor of an answer is made of: dtype, shape and bytes. Whatever is no .npy file has a form that no tensor has. */
export const formOf = async (
  { parts }: Guard,
  { taskId }: Task,
  first: FileSlice | undefined,
  bytes: number,
): Promise<string> => {
  if (first === undefined) return 'nothing';
  return form(await parts.read(taskId, first.file, first.offset, Math.min(first.length, HEADER_BYTES)), bytes);
};

/** The same of the model's tensors, by name. */
export const modelForms = async (guard: Guard, task: Task): Promise<ReadonlyMap<string, string>> => {
  const { model } = task;
  if (model === null) return new Map();
  await readyModel(guard, task);
  const forms = new Map<string, string>();
  for (const { name, offset, length } of model.tensors) {
    forms.set(name, form(await readModel(guard, model, offset, Math.min(length, HEADER_BYTES)), length));
  }
  return forms;
};

const form = (front: Buffer, bytes: number): string => {
  try {
    const { dtype, shape, dataOffset } = readNpyHeader(front);
    return `${dtype} of shape (${shape.join(', ')}) in ${bytes - dataOffset} bytes`;
  } catch {
    return 'no array';
  }
};
