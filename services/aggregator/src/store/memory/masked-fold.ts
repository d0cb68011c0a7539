import { CoreError } from '@aegis/core-native';
import { Grid, MaskedSum } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import type { AcceptedAnswer, PartSlice } from '../../domain/answer.ts';
import { coreGrid, packedBytes, termsOf } from '../../domain/masking.ts';
import type { ModelInfo } from '../../domain/model.ts';
import type { TaskKind } from '../../domain/plan.ts';
import { accepted, refuse, type Verdict } from '../../domain/verdict.ts';
import type { MaskedFold, MaskedTerms, OpenedSum } from '../contract.ts';
import type { MemoryModels } from './models.ts';
import { type NpyArray, readNpy, writeNpy } from './npy.ts';

/** Masks are the core's, also in memory: the vectors that nodes make could be added by nothing else. */
export class MemoryMaskedFold implements MaskedFold {
  private readonly joined: (slices: readonly PartSlice[]) => Buffer | null;
  private readonly models: MemoryModels;
  private readonly model: ModelInfo | null;
  private readonly kind: TaskKind;
  private readonly vectors = new Map<string, Buffer>();

  /** `joined`: the bytes of slices; null when some are not here. */
  constructor(
    joined: (slices: readonly PartSlice[]) => Buffer | null,
    models: MemoryModels,
    model: ModelInfo | null,
    kind: TaskKind,
  ) {
    this.joined = joined;
    this.models = models;
    this.model = model;
    this.kind = kind;
  }

  async check(slices: readonly PartSlice[], { masking }: MaskedTerms): Promise<Verdict> {
    const vector = this.joined(slices);
    if (vector === null) return refuse('PART_NOT_FOUND', 'A part of the masked vector was never sent.');
    const used = (masking.length * masking.bits) % 8;
    if (vector.length === packedBytes(masking) && (used === 0 || (vector.at(-1) ?? 0) >> used === 0)) return accepted;
    return refuse('UPDATE_TENSOR_MALFORMED', `The vector has ${vector.length} bytes, or bits behind its end.`);
  }

  async add(answer: AcceptedAnswer): Promise<void> {
    this.vectors.set(answer.taskId, this.joined(answer.masked ?? []) ?? Buffer.alloc(0));
  }

  async open(
    mask: Uint8Array,
    survivors: number,
    { runId, masking, divisor }: Parameters<MaskedFold['open']>[2],
  ): Promise<OpenedSum> {
    const { specs, options } = coreGrid(masking.grid, this.kind, this.model);
    try {
      const sum = MaskedSum.create(termsOf(runId, masking));
      for (const vector of this.vectors.values()) await sum.add(vector);
      const opened = await sum.open(Grid.create(specs, options), survivors, mask, { divisor });
      const metrics = options.metrics.map((_, at) => opened.metric(at));
      const model = this.kind === 'train' ? await this.moved((at) => opened.tensor(at)) : null;
      return { model, metrics, weight: opened.weight };
    } catch (error) {
      if (!(error instanceof CoreError) || !error.code.startsWith('SECAGG_')) throw error;
      throw new AegisError('SECAGG_SUM', error.message, error);
    }
  }

  private async moved(meanOf: (at: number) => Buffer): Promise<ModelInfo> {
    const { modelId, tensors } = this.model as ModelInfo;
    const arrays = await Promise.all(
      tensors.map(async ({ name, offset, length }, at) => {
        const npy = await this.models.read(modelId, offset, length);
        const start = readNpy(npy);
        const mean = meanOf(at);
        const by: NpyArray = readNpy(Buffer.concat([npy.subarray(0, npy.length - mean.length), mean]));
        const values = start.values.map((value, i) => value + (by.values[i] ?? 0));
        return { name, npy: writeNpy({ ...start, values }) };
      }),
    );
    return this.models.keep(arrays);
  }
}
