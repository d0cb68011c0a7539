import { AegisError } from '@aegis/errors';
import type { ModelFormat, ModelVersion } from '../domain/model.ts';
import type { Ground } from './ground.ts';

/** Stores a model under a name, for `aegis.initial-model = "model:NAME"`. A name used again names the new one. */
export async function importModel(
  { stores, clock }: Ground,
  name: string,
  format: ModelFormat,
  content: Buffer,
): Promise<ModelVersion> {
  if (name.length > 200) throw new AegisError('MODEL_MALFORMED', 'Its name is longer than 200 characters.');
  if (/^[0-9a-f]{64}$/.test(name))
    throw new AegisError('MODEL_MALFORMED', 'Its name looks like the hash of a model; choose another.');
  const info = await stores.models.import(format, content);
  const version: ModelVersion = {
    modelId: info.modelId,
    name,
    runId: null,
    round: 0,
    cohort: 0,
    createdAt: clock.now(),
    bytes: info.bytes,
    parentId: '',
    metrics: [],
  };
  await stores.imports.put(version);
  return version;
}
