import { AegisError } from '@aegis/errors';
import { readCapturedPlan } from '../domain/captured-plan.ts';
import type { Ground } from './ground.ts';

export interface ImportedPlan {
  readonly appHash: string;
  readonly appDigest: string;
  readonly appId: string;
  readonly json: string;
  /** The captured initial arrays as .npz; empty when the app asks a node. */
  readonly npz: Buffer;
}

/** Stores what `aegis app import` captured; from now on the untouched app runs. Importing again replaces. */
export async function putPlan(
  { stores, clock, limits, modelUse }: Ground,
  imported: ImportedPlan,
): Promise<{ modelId: string }> {
  const plan = readCapturedPlan(imported.json);
  for (const [field, value] of Object.entries({ app_digest: imported.appDigest, app_hash: imported.appHash })) {
    if (!/^[0-9a-f]{64}$/.test(value) && !(field === 'app_hash' && value === '')) {
      throw new AegisError('PLAN_INVALID', `${field} must be a SHA-256 in lower-case hex.`);
    }
  }
  if (plan.initialModel === 'captured' && imported.npz.length === 0) {
    throw new AegisError('PLAN_INVALID', 'initial-model is "captured", but no arrays came with the plan.');
  }
  const now = clock.now();
  const storeModel = async () => {
    const model = await stores.models.import('npz', imported.npz, limits.initialModelBytes);
    const origin = { name: '', runId: null, round: 0, cohort: 0, parentId: '', metrics: [] };
    await stores.imports.put({ ...origin, modelId: model.modelId, bytes: model.bytes, createdAt: now });
    return model;
  };
  const model = imported.npz.length === 0 ? null : await modelUse.store(storeModel);
  await stores.plans.put({
    appHash: imported.appHash,
    appDigest: imported.appDigest,
    appId: imported.appId,
    json: imported.json,
    modelId: model?.modelId ?? null,
    importedAt: now,
  });
  return { modelId: model?.modelId ?? '' };
}
