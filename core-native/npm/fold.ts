// The mean of updates.

import type { RawFold } from './binding.ts';
import { binding } from './binding.ts';
import { awaiting, calling } from './core-error.ts';
import { type IntakeLog, rawLog } from './intake-log.ts';
import type { ModelInfo } from './model-file.ts';
import { type DataKey, rawKey } from './sealing.ts';
import type { TensorSource, TensorSpec } from './tensors.ts';

export interface UpdateFacts {
  /** L2 norm over all elements of all tensors. */
  norm: number;
  elements: number;
}

/** The weighted mean of updates, folded one at a time; the result does not depend on their order, to the bit. */
export class Fold {
  readonly #raw: RawFold;

  private constructor(raw: RawFold) {
    this.#raw = raw;
  }

  /** Sums for the model's tensors, in this order: 16 bytes a parameter. */
  static create(specs: TensorSpec[]): Fold {
    return new Fold(calling(() => binding.Fold.create(specs)));
  }

  /** Validates an update and adds nothing. Names may come in any order. */
  check(log: IntakeLog, tensors: TensorSource[], limits?: { maxNorm?: number }): Promise<UpdateFacts> {
    return awaiting(() => this.#raw.check(rawLog(log), tensors, limits?.maxNorm));
  }

  /** Adds `weight` (above 0, at most 2^53) times the update. A failed add changes nothing. */
  add(log: IntakeLog, tensors: TensorSource[], weight: number): Promise<void> {
    return awaiting(() => this.#raw.add(rawLog(log), tensors, weight));
  }

  get count(): number {
    return calling(() => this.#raw.count());
  }

  get totalWeight(): number {
    return calling(() => this.#raw.totalWeight());
  }

  /** The weighted mean, each tensor in its own dtype, as a sealed model file. NOTHING_FOLDED if no update was added. */
  writeModel(path: string, key: DataKey): Promise<ModelInfo> {
    return awaiting(() => this.#raw.writeModel(path, rawKey(key)));
  }

  /** Gives the sums' memory back (the collector cannot see it), after calls under way; the fold refuses everything then. */
  close(): void {
    calling(() => this.#raw.close());
  }
}
