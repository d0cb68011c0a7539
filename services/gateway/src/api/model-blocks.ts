import { AegisError } from '@aegis/errors';
import type { ModelFacts } from '../domain/run.ts';
import { BoundedCache, SingleFlight } from './bounded-cache.ts';

const MiB = 2 ** 20;
/** Read from the aggregator and sent at once. Aligned, so that the nodes of a round share what was read. */
const BLOCK = MiB;
const MODELS = 16;

export interface ModelSource {
  model(modelId: string): Promise<ModelFacts>;
  readModel(modelId: string, offset: number, length: number): Promise<Buffer>;
}

/** Models as streams read them: block by block, each block read once for all who want it about the same time. */
export class ModelBlocks {
  readonly #source: ModelSource;
  readonly #facts = new BoundedCache<string, ModelFacts>(MODELS);
  readonly #asking = new SingleFlight<string, ModelFacts>();
  readonly #blocks: BoundedCache<string, Buffer>;
  readonly #reading = new SingleFlight<string, Buffer>();

  constructor(source: ModelSource, cacheBytes: number) {
    this.#source = source;
    this.#blocks = new BoundedCache(cacheBytes);
  }

  async facts(modelId: string): Promise<ModelFacts> {
    const known = this.#facts.get(modelId);
    if (known) return known;
    return this.#asking.run(modelId, async () => {
      const facts = await this.#source.model(modelId);
      this.#facts.set(modelId, facts, 1);
      return facts;
    });
  }

  /** The range in pieces, in order. Nothing is read before it is asked for. */
  async *read(modelId: string, offset: number, length: number): AsyncGenerator<{ offset: number; content: Buffer }> {
    const { bytes } = await this.facts(modelId);
    const end = offset + length;
    if (end > bytes) throw new AegisError('REQUEST_MALFORMED', `The model has ${bytes} bytes, not ${end}.`);
    for (let at = offset; at < end; ) {
      const start = at - (at % BLOCK);
      const block = await this.#block(modelId, start, Math.min(BLOCK, bytes - start));
      const content = block.subarray(at - start, Math.min(end - start, block.byteLength));
      yield { offset: at, content };
      at += content.byteLength;
    }
  }

  async #block(modelId: string, offset: number, length: number): Promise<Buffer> {
    const key = `${modelId} ${offset}`;
    const cached = this.#blocks.get(key);
    if (cached) return cached;
    return this.#reading.run(key, async () => {
      const block = await this.#source.readModel(modelId, offset, length);
      if (block.byteLength !== length) throw new AegisError('INTERNAL', 'A model is shorter than it says.');
      this.#blocks.set(key, block, length);
      return block;
    });
  }
}
