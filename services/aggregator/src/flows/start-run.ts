import { AegisError } from '@aegis/errors';
import { readCapturedPlan } from '../domain/captured-plan.ts';
import { hasPositionalNames, type ModelInfo } from '../domain/model.ts';
import { buildPlan, configCarriesPlan, type InitialModel, type Plan } from '../domain/plan.ts';
import { type AccountRef, newRun } from '../domain/run.ts';
import type { ConfigEntry, FlatConfig } from '../domain/scalar.ts';
import type { Ground } from './ground.ts';
import type { RunOwner } from './own-runs.ts';
import { planPrivacy } from './plan-privacy.ts';
import { planSecagg } from './plan-secagg.ts';
import { roundModel } from './read-models.ts';
import { type UnpackedBundle, unpackBundle } from './unpack-bundle.ts';

/** Whoever may start a run brings this: a few kilobytes of it must not fill the disk. */
const BUNDLED_MODEL_BYTES = 100 * 1024 * 1024;

export interface StartRun {
  readonly fab: Buffer;
  readonly overrides: readonly ConfigEntry[];
  readonly federation: string;
  readonly startedBy?: AccountRef | undefined;
}

/** Everything that can be refused is refused here, before the first message leaves. */
export async function startRun(
  ground: Ground,
  owner: RunOwner,
  request: StartRun,
): Promise<{ runId: bigint; seriesId: bigint; note: string }> {
  const bundle = await unpackBundle(request.fab);
  const overrides: FlatConfig = new Map(request.overrides.map((entry) => [entry.key, entry.value]));
  const { plan, notes } = await findPlan(ground, bundle, overrides);
  /** Stored for this run alone; what of it nothing refers to in the end is removed. */
  const brought = new Set<string>();
  try {
    return await ground.modelUse.store(() => begin(ground, owner, request, bundle, plan, notes, brought));
  } finally {
    for (const modelId of brought) {
      ground.modelUse
        .removeUnused(ground.stores, modelId, null)
        .catch((error: unknown) => ground.log.warn({ err: error, modelId }, 'a model was not removed'));
    }
  }
}

async function begin(
  ground: Ground,
  owner: RunOwner,
  request: StartRun,
  bundle: UnpackedBundle,
  plan: Plan,
  notes: readonly string[],
  brought: Set<string>,
): Promise<{ runId: bigint; seriesId: bigint; note: string }> {
  const { stores, random, clock, peers, log } = ground;
  const model = await firstModel(ground, plan.initialModel, bundle);
  if (model !== null && plan.initialModel.from === 'file') brought.add(model.modelId);
  const start = model === null ? null : await namedForDialect(ground, plan, model);
  if (start !== null && brought.size > 0) brought.add(start.modelId);

  await stores.apps.put(
    {
      hash: bundle.hash,
      digest: bundle.digest,
      appId: bundle.facts.appId,
      version: bundle.facts.version,
      config: [...bundle.facts.config].map(([key, value]) => ({ key, value })),
      detectedDialect: bundle.detectedDialect,
    },
    request.fab,
  );
  const runId = random.uint64();
  const granted = await planPrivacy(ground, runId, plan, start);
  const masked = await planSecagg(ground, granted.plan, start);
  const run = newRun(
    {
      runId,
      seriesId: random.uint64(),
      app: { appId: bundle.facts.appId, version: bundle.facts.version, hash: bundle.hash },
      federation: request.federation,
      overrides: request.overrides,
      ...(request.startedBy && { startedBy: request.startedBy }),
      plan: granted.plan,
      modelId: start?.modelId ?? null,
      modelBytes: start?.bytes ?? 0,
    },
    clock.now(),
  );
  const said = [...notes, ...masked, ...granted.notes];
  await owner.reserve(run.runId);
  try {
    await stores.runs.save(run, null);
    brought.delete(run.modelId ?? '');
    log.info({ runId: run.runId, appId: run.app.appId, appHash: run.app.hash, rounds: plan.rounds }, 'run accepted');
    peers.feed.log(
      run.runId,
      `run ${run.runId}: ${run.app.appId} ${run.app.version}, ${plan.rounds} rounds of ${plan.strategy}, ${plan.layout.dialect} records`,
    );
    for (const note of said) peers.feed.log(run.runId, note);
  } finally {
    owner.begin(run.runId);
  }
  return { runId: run.runId, seriesId: run.seriesId, note: said.join('\n') };
}

async function findPlan(
  { stores }: Ground,
  bundle: UnpackedBundle,
  overrides: FlatConfig,
): Promise<{ plan: Plan; notes: string[] }> {
  const { facts, hash, digest } = bundle;
  const stored = await stores.plans.find(hash, digest);
  if (stored === null && !configCarriesPlan(facts.config, overrides)) {
    throw new AegisError(
      'PLAN_MISSING',
      `${facts.appId} ${facts.version} was never imported, and its config has no aegis.initial-model. Type: aegis app import <DIR>`,
    );
  }
  return buildPlan({
    appId: facts.appId,
    appConfig: facts.config,
    overrides,
    captured: stored === null ? null : { plan: readCapturedPlan(stored.json), modelId: stored.modelId },
    detectedDialect: bundle.detectedDialect,
  });
}

/** Null: a node will be asked. */
async function firstModel(ground: Ground, choice: InitialModel, bundle: UnpackedBundle): Promise<ModelInfo | null> {
  const { stores } = ground;
  const find = async (modelId: string | undefined, what: string): Promise<ModelInfo> => {
    const info = modelId === undefined ? null : await stores.models.get(modelId);
    if (info === null) throw new AegisError('MODEL_NOT_FOUND', `aegis.initial-model names ${what}.`);
    return info;
  };
  switch (choice.from) {
    case 'node':
      return null;
    case 'model':
      return find(choice.modelId, `the imported model ${choice.modelId}, which is gone; import the app again`);
    case 'named':
      return find(
        (await stores.imports.named(choice.name))?.modelId ?? choice.name,
        `"model:${choice.name}", and there is no model of that name or hash`,
      );
    case 'run':
      return find(
        (await roundModel(ground, choice.runId, choice.round))?.modelId,
        `round ${choice.round} of run ${choice.runId}, which left no model`,
      );
    case 'file': {
      const content = bundle.files.get(choice.path);
      if (content !== undefined) {
        const limit = Math.min(BUNDLED_MODEL_BYTES, ground.limits.initialModelBytes);
        return stores.models.import(choice.path.endsWith('.npz') ? 'npz' : 'safetensors', content, limit);
      }
      throw new AegisError(
        'PLAN_INVALID',
        `aegis.initial-model is "file:${choice.path}", which is not in the bundle; add it to fab-include.`,
      );
    }
  }
}

async function namedForDialect({ stores }: Ground, plan: Plan, model: ModelInfo): Promise<ModelInfo> {
  if (model.tensors.length === 0) throw new AegisError('MODEL_MALFORMED', 'The initial model has no arrays.');
  if (plan.layout.dialect === 'message' || hasPositionalNames(model)) return model;
  return stores.models.rename(
    model.modelId,
    model.tensors.map((_, i) => String(i)),
  );
}
