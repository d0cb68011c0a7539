import type { IntakeLog } from '@aegis/core-native';
import { Grid, MaskedSum } from '@aegis/core-native/secagg';
import type { AcceptedAnswer, PartSlice } from '../../domain/answer.ts';
import { coreGrid, termsOf } from '../../domain/masking.ts';
import type { ModelInfo } from '../../domain/model.ts';
import type { TaskKind } from '../../domain/plan.ts';
import { accepted, refuse, type Verdict } from '../../domain/verdict.ts';
import type { MaskedFold, MaskedTerms, OpenedSum } from '../contract.ts';
import { inCore, refusalOf } from './core-errors.ts';
import type { ModelDirectory } from './model-directory.ts';

/** The core's masked sum over a room's log. */
export class LoggedMaskedFold implements MaskedFold {
  private readonly log: IntakeLog;
  private readonly models: ModelDirectory;
  private readonly model: ModelInfo | null;
  private readonly kind: TaskKind;
  private sum: MaskedSum | null = null;
  private readonly added: AcceptedAnswer[] = [];

  constructor(log: IntakeLog, models: ModelDirectory, model: ModelInfo | null, kind: TaskKind) {
    this.log = log;
    this.models = models;
    this.model = model;
    this.kind = kind;
  }

  async check(slices: readonly PartSlice[], terms: MaskedTerms): Promise<Verdict> {
    try {
      const sum = await inCore(() => this.held(terms));
      await sum.checkSlices(this.log, [...slices]);
      return accepted;
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal !== null) return refuse(refusal.code, refusal.detail);
      return inCore(() => Promise.reject(error));
    }
  }

  async add(answer: AcceptedAnswer, terms: MaskedTerms): Promise<void> {
    await this.folding(async () => (await this.held(terms)).addSlices(this.log, [...(answer.masked ?? [])]));
    this.added.push(answer);
  }

  open(mask: Uint8Array, survivors: number, terms: Parameters<MaskedFold['open']>[2]): Promise<OpenedSum> {
    const { specs, options } = coreGrid(terms.masking.grid, this.kind, this.model);
    return this.folding(async () => {
      const sum = await this.held(terms);
      // it opens once: whoever asks again has it added up again
      this.sum = null;
      const opened = await sum.open(Grid.create(specs, options), survivors, mask, { divisor: terms.divisor });
      try {
        const { model } = this;
        const metrics = options.metrics.map((_, at) => opened.metric(at));
        const { weight } = opened;
        if (this.kind !== 'train' || model === null) return { model: null, metrics, weight };
        const start = await this.models.reader(model.modelId);
        return { model: await this.models.keep((path, key) => opened.writeModel(start, path, key)), metrics, weight };
      } finally {
        opened.close();
      }
    });
  }

  close(): void {
    this.sum?.close();
    this.sum = null;
  }

  /** The sum with everything that was added. What failed half-way is formed anew from the log, which has all that went into it. */
  private async held(terms: MaskedTerms): Promise<MaskedSum> {
    if (this.sum !== null) return this.sum;
    const sum = MaskedSum.create(termsOf(terms.runId, terms.masking));
    try {
      for (const { masked = [] } of this.added) await sum.addSlices(this.log, [...masked]);
    } catch (error) {
      sum.close();
      throw error;
    }
    this.sum = sum;
    return sum;
  }

  private async folding<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await inCore(work);
    } catch (error) {
      this.close();
      throw error;
    }
  }
}
