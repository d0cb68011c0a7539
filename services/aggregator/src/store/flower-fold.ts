import { CoreError } from '@aegis/core-native';
import { FlowerSum } from '@aegis/core-native/flower-secagg';
import { AegisError } from '@aegis/errors';
import type { PartSlice } from '../domain/answer.ts';
import type { Removal } from '../domain/flower-secagg/removal.ts';
import type { FlowerTerms } from '../domain/flower-secagg/terms.ts';
import type { ModelInfo } from '../domain/model.ts';
import { accepted, refuse, type Verdict } from '../domain/verdict.ts';
import type { FlowerFold, VectorSlices } from './contract.ts';

export interface NamedArray {
  readonly name: string;
  readonly npy: Buffer;
  readonly dtype: string;
}

/** What a room's store lends to the sum. */
export interface FoldGround {
  /** The bytes of these, joined; null when some are not here. */
  join(slices: readonly PartSlice[]): Promise<Buffer | null>;
  keep(arrays: readonly NamedArray[]): Promise<ModelInfo>;
}

/** The core's sum over a room's vectors. Every step waits for the one before: there is never more than one vector beside the sum. */
export class CoreFlowerFold implements FlowerFold {
  private readonly ground: FoldGround;
  private readonly model: ModelInfo | null;
  private sum: FlowerSum | null = null;
  private readonly added: VectorSlices[] = [];
  private last: Promise<unknown> = Promise.resolve();

  constructor(ground: FoldGround, model: ModelInfo | null) {
    this.ground = ground;
    this.model = model;
  }

  check(arrays: VectorSlices, terms: FlowerTerms): Promise<Verdict> {
    return this.inTurn(async () => {
      const alone = this.empty(terms);
      try {
        await alone.add(await this.read(arrays));
        return accepted;
      } catch (error) {
        if (error instanceof CoreError) return refuse('UPDATE_TENSOR_MALFORMED', error.message);
        if (error instanceof AegisError && error.code === 'PART_NOT_FOUND') return refuse(error.code, error.detail);
        throw error;
      } finally {
        alone.close();
      }
    });
  }

  add(arrays: VectorSlices, terms: FlowerTerms): Promise<void> {
    return this.inTurn(async () => {
      await this.orAnew(async () => (await this.held(terms)).add(await this.read(arrays)));
      this.added.push(arrays);
    });
  }

  open(removal: Removal, terms: FlowerTerms): Promise<ModelInfo> {
    return this.inTurn(() =>
      this.orAnew(async () => {
        const sum = await this.held(terms);
        for (const { shares } of removal.seeds) await sum.removePrivate([...shares]);
        for (const { node, publicKey, shares, delivered } of removal.keys) {
          const peers = delivered.map((peer) => ({ node: String(peer.node), publicKey: peer.publicKey }));
          await sum.removePairs({ node: String(node), publicKey }, [...shares], peers);
        }
        // it opens once: whoever asks again has it added up again
        this.sum = null;
        const means = await sum.open();
        try {
          const arrays: NamedArray[] = [];
          for (const [at, { name, dtype }] of (this.model?.tensors ?? []).entries())
            arrays.push({ name, dtype, npy: await means.array(at, dtype) });
          return await this.ground.keep(arrays);
        } finally {
          means.close();
        }
      }),
    );
  }

  close(): void {
    this.sum?.close();
    this.sum = null;
  }

  private empty({ clippingRange, targetRange, modRange, maxWeight }: FlowerTerms): FlowerSum {
    const shapes = (this.model?.tensors ?? []).map(({ shape }) => [...shape]);
    return FlowerSum.create({ clippingRange, targetRange, modRange, maxWeight }, shapes);
  }

  /** The sum with everything that was added. What failed half-way is formed anew from the parts, which have all that went into it. */
  private async held(terms: FlowerTerms): Promise<FlowerSum> {
    if (this.sum !== null) return this.sum;
    const sum = this.empty(terms);
    try {
      for (const arrays of this.added) await sum.add(await this.read(arrays));
    } catch (error) {
      sum.close();
      throw error;
    }
    this.sum = sum;
    return sum;
  }

  private read(arrays: VectorSlices): Promise<Buffer[]> {
    return Promise.all(
      arrays.map(async (slices) => {
        const file = await this.ground.join(slices);
        if (file === null) throw new AegisError('PART_NOT_FOUND', 'A part of the masked vector was never sent.');
        return file;
      }),
    );
  }

  private async orAnew<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.close();
      // shares that give no secret, keys that are none, a sum beyond its range: whose fault it was nobody can tell
      if (error instanceof CoreError) throw new AegisError('SECAGG_SUM', error.message, error);
      throw error;
    }
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work);
    this.last = done.catch(() => {});
    return done;
  }
}
