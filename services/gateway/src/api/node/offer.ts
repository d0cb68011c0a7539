import { RecordDialect, TaskKind } from '@aegis/contracts/aegis/events/v1/task';
import type { TaskOffer } from '@aegis/contracts/aegis/node/v1/node';
import { fromEntry } from '@aegis/flower-wire';
import type { Task } from '../../domain/task.ts';
import { describeRun } from '../../flows/describe-run.ts';
import type { Gateway } from '../../flows/gateway.ts';
import { BoundedCache } from '../bounded-cache.ts';
import type { ModelBlocks } from '../model-blocks.ts';

const RUNS = 256;
/** A deadline that is over leaves no time, but 0 would mean that there is none. */
const LEAST_SECONDS = 0.001;
const kinds = {
  train: TaskKind.TRAIN,
  evaluate: TaskKind.EVALUATE,
  'initial-model': TaskKind.INITIAL_MODEL,
} as const;

const dialects = { message: RecordDialect.MESSAGE, legacy: RecordDialect.LEGACY } as const;

type Grid = NonNullable<NonNullable<Task['masking']>['grid']>;
const fromGrid = (grid: Grid) => ({ ...grid, ownClips: { ...grid.ownClips }, metrics: [...grid.metrics] });

/** Tasks as native clients read them: the config as it is, whatever records a Flower app would find it in. */
export class Offers {
  readonly #gateway: Gateway;
  readonly #models: ModelBlocks;
  readonly #appOfRun = new BoundedCache<bigint, string>(RUNS);

  constructor(gateway: Gateway, models: ModelBlocks) {
    this.#gateway = gateway;
    this.#models = models;
  }

  async of(task: Task): Promise<TaskOffer> {
    const { taskId, runId, round, kind, config, layout, deadline, createdAt, ttl, groupId, masking, traceparent } =
      task;
    const secondsLeft = deadline === 0 ? 0 : Math.max(deadline - this.#gateway.clock.now() / 1000, LEAST_SECONDS);
    return {
      taskId,
      runId,
      round,
      kind: kinds[kind],
      config: config.map(fromEntry),
      model: await this.#model(task.modelId),
      secondsLeft,
      appId: await this.#appId(runId),
      weightedByKey: layout.weightedByKey,
      layout: { ...layout, dialect: dialects[layout.dialect] },
      ...{ createdAt, ttl, groupId, traceparent },
      masking: masking && { ...masking, grid: masking.grid && fromGrid(masking.grid) },
    };
  }

  async #model(modelId: string): Promise<TaskOffer['model']> {
    if (modelId === '') return undefined;
    const { bytes, tensors } = await this.#models.facts(modelId);
    return {
      modelId,
      bytes: BigInt(bytes),
      tensors: tensors.map(({ name, dtype, shape, offset, length }) => ({
        name,
        dtype,
        shape: shape.map(BigInt),
        offset: BigInt(offset),
        length: BigInt(length),
      })),
    };
  }

  async #appId(runId: bigint): Promise<string> {
    const known = this.#appOfRun.get(runId);
    if (known !== undefined) return known;
    const { appId } = await describeRun(this.#gateway, runId);
    this.#appOfRun.set(runId, appId, 1);
    return appId;
  }
}
