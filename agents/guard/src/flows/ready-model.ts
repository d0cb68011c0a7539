import { createHash } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import type { ModelFacts, Task } from '../domain/task.ts';
import type { Guard } from './guard.ts';
import { hashOf } from './model-hash.ts';

/**
 * The model of a task is in a file here, whole, and is the one that the task names: what the SuperNode is given, and what is hashed and masked
 * hours later, cannot be two models, however often the file is read from the server again. Another layout is another file.
 */
export const readyModel = async ({ models, upstream }: Guard, { taskId, model }: Task): Promise<void> => {
  if (model === null) return;
  const pieces = () => upstream.model(taskId, model.bytes);
  await models.ensure(fileOf(model), model.bytes, pieces, async (read) => {
    if ((await hashOf(model, read)) !== model.modelId) throw new AegisError('SECAGG_REFUSED', 'MODEL_DIFFERS');
  });
};

export const readModel = ({ models }: Guard, model: ModelFacts, offset: number, length: number): Promise<Buffer> =>
  models.read(fileOf(model), offset, length);

const fileOf = ({ modelId, bytes, tensors }: ModelFacts): string =>
  createHash('sha256')
    .update(
      JSON.stringify([
        modelId,
        bytes,
        tensors.map(({ name, dtype, shape, offset, length }) => [name, dtype, shape, offset, length]),
      ]),
    )
    .digest('hex');
