// Local privacy: one trained model, clipped and noised where it was trained, before anybody else sees it.

import type { RawLocalNoise } from './binding.ts';
import { binding } from './binding.ts';
import { awaiting, calling } from './core-error.ts';

/** A tensor as it came and as it is to go: whole .npy files of one shape and dtype (numpy's descr, or "bfloat16"). */
export interface TrainedTensor {
  name: string;
  dtype: string;
  came: Uint8Array;
  goes: Uint8Array;
}

/** `norm` and `clipped` are not private: they stay with the one who asked. */
export interface NoisedUpdate {
  tensors: Buffer[];
  norm: number;
  clipped: boolean;
}

/**
 * Clips the difference between a trained model and the one it was trained from to an L2 norm over all its tensors of floats, and adds exact
 * discrete Gaussian noise from secure bits.
 */
export class LocalNoise {
  readonly #raw: RawLocalNoise;

  private constructor(raw: RawLocalNoise) {
    this.#raw = raw;
  }

  /** `sigma`: standard deviation of the noise on each element. ARGUMENT unless both are positive and fit together. */
  static ofSigma(clip: number, sigma: number): LocalNoise {
    return new LocalNoise(calling(() => binding.LocalNoise.ofSigma(clip, sigma)));
  }

  /** The least noise with which any two updates stay within (ε, δ) of each other. PRIVACY_PARAMETER for an ε or δ that makes no sense. */
  static calibrated(clip: number, epsilon: number, delta: number): LocalNoise {
    return new LocalNoise(calling(() => binding.LocalNoise.calibrated(clip, epsilon, delta)));
  }

  get sigma(): number {
    return calling(() => this.#raw.sigma());
  }

  /**
   * All or nothing. TENSOR_NOT_NOISED for a tensor of integers or booleans that was changed, TENSOR_SHAPE where the files do not agree,
   * VALUE_NOT_FINITE for NaN and infinity.
   */
  apply(tensors: TrainedTensor[]): Promise<NoisedUpdate> {
    return awaiting(() => this.#raw.apply(tensors));
  }
}
