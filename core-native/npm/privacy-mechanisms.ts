// Differential privacy: what is added before a sum leaves.

import type { RawNoised, RawPrivateFold } from './binding.ts';
import { binding } from './binding.ts';
import { awaiting, calling } from './core-error.ts';
import { type IntakeLog, rawLog } from './intake-log.ts';
import { type ModelFile, type ModelInfo, rawModel } from './model-file.ts';
import { type DataKey, rawKey } from './sealing.ts';
import type { TensorSource } from './tensors.ts';

/** What became of one update. `norm` is before clipping and not private: it stays on this side. */
export interface AddedPrivately {
  norm: number;
  clipped: boolean;
  /** The weight that was used; the update counted `weight / weightMax`. */
  weight: number;
}

export interface PrivateFinish {
  /** Standard deviation of the noise over the clip. */
  noiseMultiplier: number;
  /** What the sum of shares is divided by, fixed before the round: how many answered would tell who did. */
  denominator: number;
  /** A count that one update moves by at most 1, to leave with noise of its own: how many were clipped, for adaptive clipping. */
  bits?: { sum: number; noiseMultiplier: number };
  /**
   * The noise of a round of a tree over all rounds (DP-FTRL) instead of fresh noise; not with `bits`. `secret`: path of the run's secret, made by
   * leaf 1 of tree 0 and needed by every later one: NOISE_SECRET_LOST. A leaf's noise goes into one path: NOISE_USED.
   */
  tree?: { secret: string; tree: number; leaf: number };
  /** Of the sealed model file. One path is one release: name it after run, round and attempt. */
  path: string;
}

/** What left a private fold, and nothing more. */
export interface Noised {
  model: ModelInfo;
  /** The noised sum of bits, kept in `<path>.bits`. */
  bits?: number;
  /** Whether an earlier finish had written it. */
  found: boolean;
}

/**
 * Start model + (Σ share · clipped (update − start model) + noise) / denominator, for central differential privacy: the sum is exact, on a
 * grid of whole numbers, the noise an exact discrete Gaussian from secure bits, drawn once for a path.
 */
export class PrivateFold {
  readonly #raw: RawPrivateFold;

  private constructor(raw: RawPrivateFold) {
    this.#raw = raw;
  }

  /** `clip`: L2 bound of one update over all its float tensors; `weightMax` (1): of its weight. Keeps the model in memory, and 8 bytes an element. */
  static async open(
    model: ModelFile,
    { clip, weightMax = 1 }: { clip: number; weightMax?: number },
  ): Promise<PrivateFold> {
    return new PrivateFold(await awaiting(() => binding.PrivateFold.open(rawModel(model), clip, weightMax)));
  }

  /** What an earlier {@link finish} left at a path, `null` if it did not come to its end. */
  static async found(path: string, key: DataKey): Promise<Noised | null> {
    const found = await awaiting(() => binding.PrivateFold.found(path, rawKey(key)));
    return found === null ? null : toNoised(found);
  }

  /**
   * Clips the update and adds it. A failed add changes nothing. VALUE_NOT_FINITE for NaN and infinity; TENSOR_NOT_NOISED for a tensor of integers
   * or booleans that is not as the start model has it.
   */
  add(log: IntakeLog, tensors: TensorSource[], weight: number): Promise<AddedPrivately> {
    return awaiting(() => this.#raw.add(rawLog(log), tensors, weight));
  }

  get count(): number {
    return calling(() => this.#raw.count());
  }

  /** Noises and writes, once: while there is a model at the path, that one is the answer to every further call. */
  async finish(how: PrivateFinish, key: DataKey): Promise<Noised> {
    return toNoised(await awaiting(() => this.#raw.finish({ ...how }, rawKey(key))));
  }

  /** As {@link Fold.close}. */
  close(): void {
    calling(() => this.#raw.close());
  }
}

const toNoised = ({ model, bits, found }: RawNoised): Noised =>
  bits === undefined ? { model, found } : { model, bits, found };
