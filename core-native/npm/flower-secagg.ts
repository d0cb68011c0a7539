/**
 * The server's arithmetic of Flower's own SecAgg+, bit for bit, so that apps with `secaggplus_mod` can be served unmodified. Weak by its
 * design: `docs/secure-aggregation.md` says what it does not protect against.
 */

import type { RawFlowerMeans, RawFlowerSum } from './binding.ts';
import { binding } from './binding.ts';
import { awaiting, calling } from './core-error.ts';

/** By the names on Flower's wire. */
export interface FlowerSetup {
  clippingRange: number;
  /** Flower's `quantization_range`, below 2^31. */
  targetRange: number;
  /** Flower's `modulus_range`: a power of two above `targetRange`, at most 2^52 here. */
  modRange: number;
  maxWeight: number;
}

/** Ids are decimal; keys are P-384 in PEM, those that Flower calls `pk1`. */
export interface FlowerPeer {
  node: string;
  publicKey: Uint8Array;
}

/** Masked vectors added up, in the memory of one, and their masks taken away again; opens once. Secrets never leave the core. */
export class FlowerSum {
  readonly #raw: RawFlowerSum;

  private constructor(raw: RawFlowerSum) {
    this.#raw = raw;
  }

  /** For parameters of these shapes, in order. SECAGG_PARAMETERS for a setup that no sum can be computed with. */
  static create(setup: FlowerSetup, shapes: number[][]): FlowerSum {
    return new FlowerSum(calling(() => binding.FlowerSum.create(setup, shapes)));
  }

  /**
   * What one node delivered: .npy files, the weight's first. Refused whole, and nothing added, as SECAGG_MALFORMED, or for what a file is
   * not (NPY_…, TENSOR_…).
   */
  add(arrays: Uint8Array[]): Promise<void> {
    return awaiting(() => this.#raw.add(arrays));
  }

  get count(): number {
    return calling(() => this.#raw.count());
  }

  /** Of a node that delivered, with a threshold of shares of its seed. SECAGG_SHARES, and nothing taken away, if they give none. */
  removePrivate(shares: Uint8Array[]): Promise<void> {
    return awaiting(() => this.#raw.removePrivate(shares));
  }

  /**
   * Of a node that shared its keys and delivered nothing, what each of `delivered` masked with it. SECAGG_SHARES, and nothing taken away,
   * if the shares do not give the key that it advertised; SIGNATURE_KEY for public keys that are none.
   */
  removePairs(dropped: FlowerPeer, shares: Uint8Array[], delivered: FlowerPeer[]): Promise<void> {
    return awaiting(() => this.#raw.removePairs(dropped, shares, delivered));
  }

  /** SECAGG_SUM if it is not what so many nodes can have sent: masks are left over, or somebody lied. */
  async open(): Promise<FlowerMeans> {
    return new FlowerMeans(await awaiting(() => this.#raw.open()));
  }

  /** Gives the memory back; nothing else may be called afterwards. */
  close(): void {
    calling(() => this.#raw.close());
  }
}

export class FlowerMeans {
  readonly #raw: RawFlowerMeans;

  constructor(raw: RawFlowerMeans) {
    this.#raw = raw;
  }

  /** Of all nodes together, in steps of `maxWeight` ÷ `targetRange` examples. */
  get weight(): number {
    return calling(() => this.#raw.weight());
  }

  /**
   * The weighted mean of the parameter at this place: a .npy file of float64, which is what Flower's server hands on, or of another type,
   * with floats to nearest and integers half to even.
   */
  array(index: number, dtype?: string): Promise<Buffer> {
    return awaiting(() => this.#raw.array(index, dtype));
  }

  /** Gives the memory back; nothing else may be called afterwards. */
  close(): void {
    calling(() => this.#raw.close());
  }
}
