import { createHash } from 'node:crypto';
import {
  IntakeService,
  type RunSummary,
  RunsService,
  type RunView,
  type SubmitUpdateRequest,
  type SubmitUpdateResponse,
  type TaskRef,
} from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { readNpyHeader } from '@aegis/core-native';
import { AegisError, type ErrorCode } from '@aegis/errors';
import { type LocalService, serviceOf } from '@aegis/service-kit';
import { npyOf } from './npy.ts';

export interface ScriptedModel {
  modelId: string;
  tensors: { name: string; npy: Buffer }[];
}

/** Named as the core names models. */
export const modelOf = (tensors: Record<string, readonly number[] | Float32Array>): ScriptedModel => {
  const list = Object.entries(tensors).map(([name, values]) => ({ name, npy: npyOf(values) }));
  const hash = createHash('sha256').update('aegis model v1');
  for (const { name, npy } of list) {
    for (const field of [Buffer.from(name), Buffer.from(readNpyHeader(npy).dtype), npy]) {
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(field.byteLength));
      hash.update(length).update(field);
    }
  }
  return { modelId: hash.digest('hex'), tensors: list };
};

/** An aggregator that answers what the test told it to, with the contract's own rules and nothing else. */
export class ScriptedAggregator {
  readonly fab = Buffer.from('PK not really a bundle');
  readonly appHash = createHash('sha256').update(this.fab).digest('hex');
  readonly runs = new Map<bigint, RunView>();
  readonly models = new Map<string, ScriptedModel>();
  /** Task ids that take answers; a code = why not. */
  readonly tasks = new Map<string, 'open' | ErrorCode>();
  readonly parts = new Map<string, Buffer>();
  readonly submitted: SubmitUpdateRequest[] = [];
  readonly failed: { taskId: string; code: number; reason: string }[] = [];
  readonly readModelCalls: { offset: number; length: number }[] = [];
  /** Watched runs end when it resolves; undefined: at once. */
  watching: PromiseWithResolvers<void> | undefined;
  readonly appended: string[] = [];
  verdict: SubmitUpdateResponse = { accepted: true, refusalCode: '', refusal: '' };
  /** Called before every method; throw to be away. */
  before: (method: string) => void | Promise<void> = () => {};

  addRun(runId: bigint): RunView {
    const run: RunView = {
      runId,
      seriesId: runId + 1n,
      appId: 'aegis/app',
      appVersion: '1.0.0',
      appHash: this.appHash,
      overrides: [{ key: 'lr', value: { value: { $case: 'real', value: 0.5 } } }],
      status: { status: 'running', subStatus: '', details: '' },
      federation: '@none/default',
      owner: undefined,
    };
    this.runs.set(runId, run);
    return run;
  }

  services(): LocalService[] {
    return [this.#intake(), this.#runs()];
  }

  #intake(): LocalService {
    return serviceOf(IntakeService, {
      getRun: async ({ runId }) => {
        await this.before('getRun');
        const run = this.runs.get(runId);
        if (!run) throw new AegisError('RUN_NOT_FOUND');
        if (run.status?.status === 'finished') throw new AegisError('RUN_NOT_ACTIVE');
        return run;
      },
      getApp: async ({ appHash }) => {
        await this.before('getApp');
        if (appHash !== this.appHash) throw new AegisError('APP_NOT_FOUND');
        return { appHash, verifications: { 'key-1': '{}' }, fab: this.fab };
      },
      describeModel: async ({ modelId }) => {
        await this.before('describeModel');
        const { tensors } = this.#model(modelId);
        let offset = 0n;
        const described = tensors.map(({ name, npy }) => {
          const length = BigInt(npy.length);
          offset += length;
          const { dtype, shape } = readNpyHeader(npy);
          return { name, dtype, shape: shape.map(BigInt), offset: offset - length, length };
        });
        return { modelId, bytes: offset, tensors: described };
      },
      readModel: async ({ modelId, offset, length }) => {
        await this.before('readModel');
        this.readModelCalls.push({ offset: Number(offset), length: Number(length) });
        const body = Buffer.concat(this.#model(modelId).tensors.map(({ npy }) => npy));
        return { content: body.subarray(Number(offset), Number(offset + length)) };
      },
      missingParts: async ({ task, partIds }) => {
        await this.before('missingParts');
        this.#open(task);
        return { partIds: partIds.filter((id) => !this.parts.has(id)) };
      },
      appendPart: async ({ task, partId, content }) => {
        await this.before('appendPart');
        this.#open(task);
        if (createHash('sha256').update(content).digest('hex') !== partId) throw new AegisError('PART_HASH');
        const deduplicated = this.parts.has(partId);
        this.parts.set(partId, Buffer.from(content));
        this.appended.push(partId);
        return { deduplicated };
      },
      readPart: async ({ partId, length }) => {
        await this.before('readPart');
        const part = this.parts.get(partId);
        if (!part) throw new AegisError('PART_NOT_FOUND');
        return { content: length === 0n ? part : part.subarray(0, Number(length)) };
      },
      submitUpdate: async (request) => {
        await this.before('submitUpdate');
        this.#open(request.task);
        this.submitted.push(request);
        return this.verdict;
      },
      failTask: async ({ task, code, reason }) => {
        await this.before('failTask');
        this.#open(task);
        this.failed.push({ taskId: task?.taskId ?? '', code, reason });
        return {};
      },
    });
  }

  #runs(): LocalService {
    const summary = (run: RunView): RunSummary => ({
      run,
      pendingAt: 1_750_000_000,
      startingAt: 1_750_000_001,
      runningAt: 1_750_000_002,
      finishedAt: 0,
      round: 1,
      rounds: 3,
      phase: 'training',
      history: [
        {
          round: 1,
          cohort: 2,
          accepted: 2,
          refused: 0,
          dropped: 0,
          seconds: 1.5,
          modelId: 'm',
          trainMetrics: [{ key: 'loss', value: { value: { $case: 'real', value: 0.5 } } }],
          evaluateMetrics: [],
          evaluated: 0,
          privacy: undefined,
          masking: undefined,
        },
      ],
      modelId: 'm',
      bytesSent: 1n,
      bytesReceived: 2n,
      privacy: undefined,
      masking: undefined,
      consent: undefined,
    });
    const version = {
      modelId: 'm',
      name: 'first',
      runId: 0n,
      round: 0,
      cohort: 0,
      createdAt: 1,
      bytes: 3n,
      parentId: '',
      metrics: [],
    };
    return serviceOf(RunsService, {
      startRun: async ({ fab, owner }) => {
        if (fab.toString() === 'no plan') throw new AegisError('PLAN_MISSING', 'aegis app import DIR');
        const runId = 2n ** 64n - 5n;
        this.addRun(runId).owner = owner;
        return { runId, seriesId: 3n, note: '' };
      },
      listRuns: async ({ runId }) => ({
        runs: [...this.runs.values()].filter((run) => runId === undefined || run.runId === runId).map(summary),
      }),
      takeOverRun: async ({ runId }) => {
        if (!this.runs.has(runId)) throw new AegisError('RUN_NOT_FOUND');
        throw new AegisError('RUN_OWNED');
      },
      stopRun: async ({ runId }) => {
        const run = this.runs.get(runId);
        if (!run) throw new AegisError('RUN_NOT_FOUND');
        if (run.status?.status === 'finished') throw new AegisError('RUN_FINISHED');
        this.runs.set(runId, { ...run, status: { status: 'finished', subStatus: 'stopped', details: '' } });
        return {};
      },
      watchLog: async function* ({ after, follow }) {
        const lines = ['run 9', 'round 1/3', 'round 2/3', 'round 3/3'];
        const written = follow ? lines : lines.slice(0, 2); // the others come later
        for (const [at, text] of written.entries()) if (at + 1 > after) yield { text, latest: at + 1 };
      },
      watchRun: ({ runId }) => {
        const run = this.runs.get(runId);
        if (!run) throw new AegisError('RUN_NOT_FOUND');
        const events = [
          { run: summary(run), message: 'running', nodes: [] },
          { run: summary(run), message: 'finished', nodes: [{ nodeId: 5n, state: 'answered', reason: '' }] },
        ];
        const { watching } = this;
        return (async function* () {
          yield* events;
          await watching?.promise;
        })();
      },
      putPlan: async ({ modelNpz }) => ({ modelId: `model of ${modelNpz.length} bytes` }),
      listModels: async () => ({ models: [version] }),
      importModel: async ({ name, content }) => ({ ...version, name, bytes: BigInt(content.length) }),
      exportModel: async function* () {
        yield { fileName: 'model.npz', content: Buffer.alloc(100_000, 1) };
        yield { fileName: '', content: Buffer.alloc(50_000, 2) };
      },
    });
  }

  #model(modelId: string): ScriptedModel {
    const model = this.models.get(modelId);
    if (!model) throw new AegisError('MODEL_NOT_FOUND');
    return model;
  }

  #open(task: TaskRef | undefined): void {
    const state = this.tasks.get(task?.taskId ?? '');
    if (state === undefined) throw new AegisError('TASK_NOT_FOUND');
    if (state !== 'open') throw new AegisError(state);
  }
}
