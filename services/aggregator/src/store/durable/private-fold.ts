import { stat } from 'node:fs/promises';
import { PrivateFold as CoreFold, type TensorSource as CoreSource, type IntakeLog } from '@aegis/core-native';
import type { AcceptedAnswer, TensorSource } from '../../domain/answer.ts';
import type { FoldRules, NoisedRound, PrivateFold, RoundNoise } from '../contract.ts';
import { inCore } from './core-errors.ts';
import type { ModelDirectory } from './model-directory.ts';

/** The core takes counts, which are never below 0; votes against are. More than a cohort has nodes; noise does not mind where it is added. */
const ABOVE_ZERO = 2 ** 20;

/** The private fold of a logged intake. Its release is sealed at `noised`, once: what stands there is the answer from then on. */
export class LoggedPrivateFold implements PrivateFold {
  private readonly log: IntakeLog;
  private readonly models: ModelDirectory;
  private readonly startId: string;
  private readonly noised: string;
  private readonly treeSecret: string;
  private fold: Promise<CoreFold> | null = null;

  constructor(log: IntakeLog, models: ModelDirectory, startId: string, paths: { noised: string; treeSecret: string }) {
    this.log = log;
    this.models = models;
    this.startId = startId;
    this.noised = paths.noised;
    this.treeSecret = paths.treeSecret;
  }

  async add(answer: AcceptedAnswer, rules: FoldRules): Promise<{ clipped: boolean }> {
    const fold = await this.opened(rules);
    const weight = rules.weightMax === null ? 1 : answer.weight;
    const { clipped } = await inCore(() => fold.add(this.log, coreSources(answer.tensors), weight));
    return { clipped };
  }

  async writeNoised({ update, bit, clipBits, denominator, tree, ...rules }: RoundNoise): Promise<NoisedRound> {
    const fold = await this.opened(rules);
    const finish = {
      noiseMultiplier: update,
      denominator,
      ...(bit !== null && { bits: { sum: clipBits + ABOVE_ZERO, noiseMultiplier: bit } }),
      ...(tree && { tree: { ...tree, secret: this.treeSecret } }),
      path: this.noised,
    };
    const { written, model } = await this.models.keepAt(this.noised, (key) => fold.finish(finish, key));
    return { model, clipBits: written.bits === undefined ? null : written.bits - ABOVE_ZERO };
  }

  async hasNoised(): Promise<boolean> {
    return (await stat(this.noised).catch(() => null)) !== null;
  }

  async close(): Promise<void> {
    (await this.fold?.catch(() => null))?.close();
  }

  private opened({ clip, weightMax }: FoldRules): Promise<CoreFold> {
    const open = async (): Promise<CoreFold> => {
      const start = await this.models.reader(this.startId);
      return inCore(() => CoreFold.open(start, { clip, weightMax: weightMax ?? 1 }));
    };
    if (this.fold === null) {
      const opening = open();
      this.fold = opening;
      // the next one tries again
      opening.catch(() => {
        this.fold = null;
      });
    }
    return this.fold;
  }
}

export const coreSources = (tensors: readonly TensorSource[]): CoreSource[] =>
  tensors.map(({ name, slices }) => ({ name, slices: slices.map((slice) => ({ ...slice })) }));
