import { encodeInstruction } from '@aegis/flower-wire';
import type { ModelFacts } from '../../domain/run.ts';
import type { Task } from '../../domain/task.ts';
import type { ModelBlocks } from '../model-blocks.ts';

const MiB = 2 ** 20;
/** What an answer has besides its arrays. */
const BESIDES = 4 * MiB;

/** Bytes that telling a client its task takes, about. */
export const instructionBytes = (model: ModelFacts | null): number => model?.bytes ?? 0;

/** Bytes of the largest answer: the arrays of the model, perhaps in a wider type. */
export const largestAnswer = (task: Task, model: ModelFacts | null, messageBytes: number): number => {
  if (task.kind === 'evaluate') return BESIDES;
  return Math.min(model === null ? messageBytes : 2 * model.bytes + BESIDES, messageBytes);
};

/** The task as start_client reads it: the whole model and the config in one message. */
export const instructionOf = async (task: Task, model: ModelFacts | null, models: ModelBlocks): Promise<Buffer> => {
  const tensors: Buffer[][] = [];
  for (const { offset, length } of model?.tensors ?? []) {
    const pieces: Buffer[] = [];
    for await (const { content } of models.read(task.modelId, offset, length)) pieces.push(content);
    tensors.push(pieces);
  }
  return Buffer.concat(encodeInstruction(task.kind, task.config, tensors));
};
