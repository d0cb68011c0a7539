import { AegisError } from '@aegis/errors';
import type { ModelFormat, ModelVersion } from '../domain/model.ts';
import type { Ground } from './ground.ts';

/** Stores a model under a name, for `aegis.initial-model = "model:NAME"`. A name used again names the new one. */
export function importModel(ground: Ground, name: string, format: ModelFormat, content: Buffer): Promise<ModelVersion> {
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
    throw new AegisError(
      'MODEL_MALFORMED',
      `Its name ${JSON.stringify(name.slice(0, 80))} is not 1 to 64 letters, digits, ".", "_" or "-". Choose another with --name.`,
    );
  }
  if (/^[0-9a-f]{64}$/.test(name))
    throw new AegisError('MODEL_MALFORMED', 'Its name looks like the hash of a model. Choose another with --name.');
  return ground.modelUse.store(() => store(ground, name, format, content));
}

async function store(
  { stores, clock, limits }: Ground,
  name: string,
  format: ModelFormat,
  content: Buffer,
): Promise<ModelVersion> {
  const info = await stores.models.import(format, content, limits.initialModelBytes);
  if (info.tensors.length === 0) {
    await stores.models.remove(info.modelId);
    throw new AegisError(
      'MODEL_MALFORMED',
      'It has no arrays. Save the model with its arrays, by numpy.savez(file, **arrays).',
    );
  }
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
