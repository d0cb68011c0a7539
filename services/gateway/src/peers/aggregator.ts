import type {
  FlowerAnswer,
  RoundSummary as WireRound,
  RunSummary as WireSummary,
  ModelVersion as WireVersion,
  RunView as WireView,
} from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { IntakeService, RunsService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { fromEntry, toEntry } from '@aegis/flower-wire';
import type { ServiceChannel } from '@aegis/service-kit';
import type { FlowerSaid } from '../domain/flower-stage.ts';
import type { ModelVersion, RoundSummary, RunSummary, RunView, Slice } from '../domain/run.ts';
import type { Verdict } from '../domain/upload.ts';
import type { AggregatorPeer, RunsPeer } from './contract.ts';

/** A verdict is durable when it comes back, and folding a first update of a large model takes its time. */
const SUBMIT_TIMEOUT_MS = 120_000;
const START_RUN_TIMEOUT_MS = 120_000;

/** The aggregator's Intake service, in this process or behind gRPC. */
export const aggregatorPeer = (channel: ServiceChannel): AggregatorPeer => {
  const intake = channel.client(IntakeService);
  return {
    run: async (runId) => toRunView(await intake.getRun({ runId })),
    app: async (runId, appHash) => intake.getApp({ runId, appHash }),
    model: async (modelId) => {
      const model = await intake.describeModel({ modelId });
      return {
        modelId: model.modelId,
        bytes: Number(model.bytes),
        tensors: model.tensors.map(({ name, dtype, shape, offset, length }) => ({
          name,
          dtype,
          shape: shape.map(Number),
          offset: Number(offset),
          length: Number(length),
        })),
      };
    },
    readModel: async (modelId, offset, length) =>
      (await intake.readModel({ modelId, offset: BigInt(offset), length: BigInt(length) })).content,
    missingParts: async (task, partIds) => (await intake.missingParts({ task, partIds: [...partIds] })).partIds,
    appendPart: async (task, partId, content) => {
      await intake.appendPart({ task, partId, content });
    },
    readPart: async (task, partId, length = 0) =>
      (await intake.readPart({ task, partId, length: BigInt(length) })).content,
    submit: async (task, update): Promise<Verdict> => {
      const answer = await intake.submitUpdate(
        {
          task,
          tensors: update.tensors.map(({ name, slices }) => ({ name, slices: slices.map(fromSlice) })),
          metrics: update.metrics.map(fromEntry),
          weight: update.weight,
          runtimeSeconds: update.runtimeSeconds,
          masked: (update.masked ?? []).map(fromSlice),
          flower: update.flower && fromSaid(update.flower),
        },
        { timeoutMs: SUBMIT_TIMEOUT_MS },
      );
      return answer.accepted
        ? { accepted: true }
        : { accepted: false, code: answer.refusalCode, detail: answer.refusal };
    },
    failTask: async (task, code, reason) => {
      await intake.failTask({ task, code, reason });
    },
  };
};

const fromSlice = ({ partId, offset, length }: Slice) => ({ partId, offset: BigInt(offset), length: BigInt(length) });

const fromSaid = (said: FlowerSaid): FlowerAnswer => {
  switch (said.stage) {
    case 'setup':
      return { says: { $case: 'setup', value: { nodeId: 0n, pk1: said.pk1, pk2: said.pk2 } } };
    case 'share_keys': {
      const sealed = said.sealed.map(({ to, ciphertext }) => ({ nodeId: to, ciphertext }));
      return { says: { $case: 'shareKeys', value: { sealed } } };
    }
    case 'collect_masked_vectors': {
      const arrays = said.arrays.map((slices) => ({ slices: slices.map(fromSlice) }));
      return { says: { $case: 'collect', value: { arrays } } };
    }
    case 'unmask': {
      const openings = said.openings.map(({ of, share }) => ({ nodeId: of, share }));
      return { says: { $case: 'unmask', value: { openings } } };
    }
  }
};

/** The aggregator's Runs service. */
export const runsPeer = (channel: ServiceChannel): RunsPeer => {
  const runs = channel.client(RunsService);
  return {
    startRun: async (fab, overrides, federation, owner) =>
      runs.startRun(
        { fab, overrides: overrides.map(fromEntry), federation, owner },
        { timeoutMs: START_RUN_TIMEOUT_MS },
      ),
    listRuns: async ({ runId, limit, skip }) => (await runs.listRuns({ runId, limit, skip })).runs.map(toRunSummary),
    stopRun: async (runId) => {
      await runs.stopRun({ runId });
    },
    takeOverRun: async (runId) => {
      await runs.takeOverRun({ runId });
    },
    watchLog: (runId, after, follow, signal) => runs.watchLog({ runId, after, follow }, { signal }),
    watchRun: async function* (runId, signal) {
      for await (const { run, message, nodes } of runs.watchRun({ runId }, { signal })) {
        if (run) yield { run: toRunSummary(run), message, nodes };
      }
    },
    putPlan: async (plan) => (await runs.putPlan(plan, { timeoutMs: START_RUN_TIMEOUT_MS })).modelId,
    listModels: async (runId) => (await runs.listModels({ runId })).models.map(toModelVersion),
    importModel: async (name, format, content) =>
      toModelVersion(await runs.importModel({ name, format, content }, { timeoutMs: START_RUN_TIMEOUT_MS })),
    exportModel: (query, signal) => runs.exportModel(query, { signal }),
  };
};

const noStatus = { status: '', subStatus: '', details: '' };

const toRunView = (view: WireView): RunView => ({
  runId: view.runId,
  seriesId: view.seriesId,
  appId: view.appId,
  appVersion: view.appVersion,
  appHash: view.appHash,
  overrides: view.overrides.map(toEntry),
  status: view.status ?? noStatus,
  federation: view.federation,
  owner: view.owner,
});

const noRun: WireView = {
  runId: 0n,
  seriesId: 0n,
  appId: '',
  appVersion: '',
  appHash: '',
  overrides: [],
  status: undefined,
  federation: '',
  owner: undefined,
};

const toRunSummary = (summary: WireSummary): RunSummary => ({
  ...summary,
  run: toRunView(summary.run ?? noRun),
  history: summary.history.map(toRound),
});

const toRound = (round: WireRound): RoundSummary => ({
  ...round,
  trainMetrics: round.trainMetrics.map(toEntry),
  evaluateMetrics: round.evaluateMetrics.map(toEntry),
});

const toModelVersion = (version: WireVersion): ModelVersion => ({
  ...version,
  metrics: version.metrics.map(toEntry),
});
