import { type RunRecord, referencesModel } from '../domain/run.ts';
import type { Stores } from '../store/contract.ts';

/**
 * Storing a model and writing down who needs it are two steps, and so are finding out that nobody does and removing it: many may
 * store at the same time, removing goes alone. That is settled within one process: of two on one state directory, one may remove what the
 * other finds at that very moment, and a run that starts then says MODEL_NOT_FOUND.
 */
export class ModelUse {
  private storing: Promise<unknown> = Promise.resolve();
  private removing: Promise<unknown> = Promise.resolve();

  /** `work` stores a model, or finds one, and writes down who needs it. */
  store<T>(work: () => Promise<T>): Promise<T> {
    const done = this.removing.then(work);
    this.storing = Promise.allSettled([this.storing, done]);
    return done;
  }

  /** Removes the model unless something refers to it; `ending` itself does not count. */
  removeUnused(stores: Stores, modelId: string, ending: bigint | null): Promise<void> {
    const done = Promise.allSettled([this.storing, this.removing]).then(async () => {
      if (!(await isReferenced(stores, modelId, ending))) await stores.models.remove(modelId);
    });
    this.removing = done.catch(() => {});
    return done;
  }
}

async function isReferenced(stores: Stores, modelId: string, ending: bigint | null): Promise<boolean> {
  // what `aegis app import` captured is listed here as well, without a name
  if ((await stores.imports.list()).some((version) => version.modelId === modelId)) return true;
  return (await stores.runs.list()).some((run: RunRecord) => run.runId !== ending && referencesModel(run, modelId));
}
