import { AegisError } from '@aegis/errors';
import type { ModelFormat, ModelInfo, ModelVersion } from '../domain/model.ts';
import { type RunRecord, versionsOf } from '../domain/run.ts';
import type { Ground } from './ground.ts';

export async function describeModel(ground: Ground, modelId: string): Promise<ModelInfo> {
  const info = await stores.models.get(modelId);
  if (info === null) throw new AegisError('MODEL_NOT_FOUND', modelId.slice(0, 80));
  return info;
}

const MAX_READ_BYTES = 64 * 1024 * 1024;

export async function readModel(ground: Ground, modelId: string, offset: number, length: number): Promise<Buffer> {
  const info = await describeModel(ground, modelId);
  if (length > MAX_READ_BYTES) throw new AegisError('BODY_TOO_LARGE', `Read at most ${MAX_READ_BYTES} bytes at once.`);
  if (offset + length > info.bytes) {
    throw new AegisError(
      'REQUEST_MALFORMED',
      `Bytes ${offset} to ${offset + length} of a model that has ${info.bytes}.`,
    );
  }
  return stores.models.read(modelId, offset, length);
}

export const listModels = (ground: Ground, runId: bigint | null): Promise<ModelVersion[]> =>
  stores.versions.list(runId);

export interface ModelChoice {
  readonly modelId: string;
  readonly runId: bigint;
  /** 0 = the newest. */
  readonly round: number;
}

/** The model as a file that others read, in pieces; its name first. */
export async function exportModel(
  { stores }: Ground,
  choice: ModelChoice,
  format: ModelFormat,
): Promise<{ fileName: string; pieces: AsyncIterable<Buffer> }> {
  const version = choice.modelId === '' ? await versionOf(ground, choice) : null;
  const modelId = version?.modelId ?? (await stores.imports.named(choice.modelId))?.modelId ?? choice.modelId;
  await describeModel(ground, modelId);
  const stem = version === null ? `model_${modelId.slice(0, 12)}` : `model_round_${version.round}`;
  return { fileName: `${stem}.${format}`, pieces: stores.models.export(modelId, format) };
}

async function versionOf(ground: Ground, { runId, round }: ModelChoice): Promise<ModelVersion> {
  const versions = versionsOf(await runOf(ground, runId));
  const version = round > 0 ? versions.find((one) => one.round === round) : versions.at(-1);
  if (version !== undefined) return version;
  throw new AegisError('MODEL_NOT_FOUND', round > 0 ? `Round ${round} of run ${runId} left none.` : `Run ${runId} left none.`);
}
