import type { ModelFacts, Task } from '../domain/task.ts';
import type { Guard } from './guard.ts';

/** The model of a task is in a file here, whole. */
export const readyModel = async ({ models, upstream }: Guard, { taskId, model }: Task): Promise<void> => {
  if (model) await models.ensure(model.modelId, model.bytes, () => upstream.model(taskId, model.bytes));
};

export const readModel = ({ models }: Guard, model: ModelFacts, offset: number, length: number): Promise<Buffer> =>
  models.read(model.modelId, offset, length);
