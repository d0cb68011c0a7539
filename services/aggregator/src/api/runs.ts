import { RunsService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { AegisError } from '@aegis/errors';
import { type LocalService, serviceOf } from '@aegis/service-kit';
import type { ModelFormat } from '../domain/model.ts';
import type { Ground } from '../flows/ground.ts';
import { importModel } from '../flows/import-model.ts';
import { listRuns, showRun } from '../flows/list-runs.ts';
import type { RunOwner } from '../flows/own-runs.ts';
import { putPlan } from '../flows/put-plan.ts';
import { exportModel, listModels } from '../flows/read-models.ts';
import { startRun } from '../flows/start-run.ts';
import { stopRun } from '../flows/stop-run.ts';
import { watchLog, watchRun } from '../flows/watch-run.ts';
import { writeEvent, writeSummary, writeVersion } from './run-views.ts';
import { readEntries } from './scalars.ts';

/** What people ask, through the gateway: parse, one flow, encode. */
export const runsService = (ground: Ground, owner: RunOwner): LocalService =>
  serviceOf(RunsService, {
    startRun: ({ fab, overrides, federation, owner: startedBy }) =>
      startRun(ground, owner, { fab, overrides: readEntries(overrides), federation, startedBy }),
    listRuns: async ({ runId, limit, skip }) => {
      const views =
        runId === undefined ? await listRuns(ground, owner, { limit, skip }) : [await showRun(ground, owner, runId)];
      return { runs: views.map(writeSummary) };
    },
    stopRun: async ({ runId }) => {
      await stopRun(ground, owner, runId);
      return {};
    },
    takeOverRun: async ({ runId }) => {
      await owner.takeFromLostVolume(runId);
      return {};
    },
    watchLog: async function* ({ runId, after, follow }, { signal }) {
      for await (const { text, at } of watchLog(ground, runId, after, follow, signal)) yield { text, latest: at };
    },
    watchRun: async function* ({ runId }, { signal }) {
      for await (const view of watchRun(ground, owner, runId, signal)) yield writeEvent(view);
    },
    putPlan: ({ appHash, appDigest, appId, planJson, modelNpz }) =>
      putPlan(ground, { appHash, appDigest, appId, json: planJson, npz: modelNpz }),
    listModels: async ({ runId }) => ({ models: (await listModels(ground, runId ?? null)).map(writeVersion) }),
    importModel: async ({ name, format, content }) =>
      writeVersion(await importModel(ground, name, readFormat(format), content)),
    exportModel: async function* ({ modelId, runId, round, format }) {
      const { fileName, pieces } = await exportModel(ground, { modelId, runId, round }, readFormat(format));
      yield { fileName, content: Buffer.alloc(0) };
      for await (const content of pieces) yield { fileName: '', content };
    },
  });

function readFormat(format: string): ModelFormat {
  if (format === 'npz' || format === 'safetensors') return format;
  throw new AegisError('REQUEST_MALFORMED', `format is ${JSON.stringify(format)}; it must be "npz" or "safetensors".`);
}
