import { AegisError } from '@aegis/errors';
import type { ModelFormat, ModelInfo, ModelVersion } from '../domain/model.ts';
import { type RunRecord, versionsOf } from '../domain/run.ts';
import type { Ground } from './ground.ts';

const MAX_READ_BYTES = 64 * 1024 * 1024;

export async function describeModel({ stores }: Ground, modelId: string): Promise<ModelInfo> {
  const info = await stores.models.get(modelId);
  if (info === null) throw new AegisError('MODEL_NOT_FOUND', modelId.slice(0, 80));
  return info;
}

export async function readModel(ground: Ground, modelId: string, offset: number, length: number): Promise<Buffer> {
  const info = await describeModel(ground, modelId);
  if (length > MAX_READ_BYTES) throw new AegisError('BODY_TOO_LARGE', `Read at most ${MAX_READ_BYTES} bytes at once.`);
  if (offset + length > info.bytes) {
    const detail = `Bytes ${offset} to ${offset + length} of a model that has ${info.bytes}.`;
    throw new AegisError('REQUEST_MALFORMED', detail);
  }
  return ground.stores.models.read(modelId, offset, length);
}

/** What runs made and what was imported, oldest first. */
export async function listModels(ground: Ground, runId: bigint | null): Promise<ModelVersion[]> {
  if (runId !== null) return versionsOf(await runOf(ground, runId));
  const made = (await ground.stores.runs.list()).flatMap(versionsOf);
  return [...(await ground.stores.imports.list()), ...made].sort((a, b) => a.createdAt - b.createdAt);
}

/** The model that a round of a run left; null when it left none. Round 0 is the first model, where a node was asked for it. */
export async function roundModel({ stores }: Ground, runId: bigint, round: number): Promise<ModelVersion | null> {
  const run = await stores.runs.get(runId);
  return (run === null ? [] : versionsOf(run.value)).find((version) => version.round === round) ?? null;
}

export interface ModelChoice {
  /** A hash or an imported name; '' = by run and round. */
  readonly modelId: string;
  readonly runId: bigint;
  /** 0 = the newest. */
  readonly round: number;
}

/** The model as a file that others read, in pieces, and a name for it. */
export async function exportModel(
  ground: Ground,
  choice: ModelChoice,
  format: ModelFormat,
): Promise<{ fileName: string; pieces: AsyncIterable<Buffer> }> {
  const { imports, models } = ground.stores;
  const version = choice.modelId === '' ? await versionOf(ground, choice) : null;
  const modelId = version?.modelId ?? (await imports.named(choice.modelId))?.modelId ?? choice.modelId;
  await describeModel(ground, modelId);
  const stem = version === null ? `model_${modelId.slice(0, 12)}` : `model_round_${version.round}`;
  return { fileName: `${stem}.${format}`, pieces: models.export(modelId, format) };
}

async function versionOf(ground: Ground, { runId, round }: ModelChoice): Promise<ModelVersion> {
  const versions = versionsOf(await runOf(ground, runId));
  const version = round > 0 ? versions.find((one) => one.round === round) : versions.at(-1);
  if (version !== undefined) return version;
  const what = round > 0 ? `Round ${round} of run ${runId}` : `Run ${runId}`;
  throw new AegisError('MODEL_NOT_FOUND', `${what} left none.`);
}

async function runOf({ stores }: Ground, runId: bigint): Promise<RunRecord> {
  const kept = await stores.runs.get(runId);
  if (kept === null) throw new AegisError('RUN_NOT_FOUND', `Run ${runId}.`);
  return kept.value;
}
