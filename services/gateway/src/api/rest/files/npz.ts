import { crc32 } from 'node:zlib';
import type { ModelFacts } from '../../../domain/run.ts';
import { BoundedCache, SingleFlight } from '../../bounded-cache.ts';
import type { ModelBlocks } from '../../model-blocks.ts';
import { type Segment, SegmentedFile } from './segmented-file.ts';

const MODELS = 64;
const MOST = 0xffff_ffff;
/** 1980-01-01, the first day of the format: the same model is the same file always. */
const DATE = 0x21;
/** 4.5: ZIP64. Names are UTF-8; nothing is compressed. */
const VERSION = 45;
const UTF8 = 0x0800;

/**
 * Models as .npz: their .npy files, stored in a ZIP64 archive (APPNOTE 6.3.10, 4.3), which is written around them while it is sent.
 * Nothing of a model is kept but the CRC-32 of each tensor, found by reading it once.
 */
export class Npz {
  readonly #models: ModelBlocks;
  readonly #sums = new BoundedCache<string, number[]>(MODELS);
  readonly #summing = new SingleFlight<string, number[]>();

  constructor(models: ModelBlocks) {
    this.#models = models;
  }

  async of(modelId: string): Promise<SegmentedFile> {
    const facts = await this.#models.facts(modelId);
    return new SegmentedFile(this.#models, modelId, layOut(facts, await this.#sumsOf(facts)), {
      mediaType: 'application/zip',
    });
  }

  async #sumsOf(facts: ModelFacts): Promise<number[]> {
    const { modelId, tensors } = facts;
    const known = this.#sums.get(modelId);
    if (known) return known;
    return this.#summing.run(modelId, async () => {
      const sums: number[] = [];
      for (const { offset, length } of tensors) {
        let sum = 0;
        for await (const { content } of this.#models.read(modelId, offset, length)) sum = crc32(content, sum);
        sums.push(sum);
      }
      this.#sums.set(modelId, sums, 1);
      return sums;
    });
  }
}

const layOut = ({ tensors }: ModelFacts, sums: readonly number[]): Segment[] => {
  const segments: Segment[] = [];
  let at = 0;
  const directory: Buffer[] = [];
  for (const [index, { name, offset, length }] of tensors.entries()) {
    const file = { name: Buffer.from(`${name}.npy`), sum: sums[index] ?? 0, length };
    directory.push(entryOf(file, at));
    const header = headerOf(file);
    segments.push({ own: header }, { offset, length });
    at += header.byteLength + length;
  }
  segments.push({ own: Buffer.concat([...directory, endOf(directory, at)]) });
  return segments;
};

interface StoredFile {
  readonly name: Buffer;
  readonly sum: number;
  readonly length: number;
}

/** Local file header, sizes in its ZIP64 field. */
const headerOf = ({ name, sum, length }: StoredFile): Buffer =>
  Buffer.concat([
    words([4, 0x04034b50], [2, VERSION], [2, UTF8], [2, 0], [2, 0], [2, DATE], [4, sum], [4, MOST], [4, MOST]),
    words([2, name.byteLength], [2, 20]),
    name,
    words([2, 1], [2, 16], [8, length], [8, length]),
  ]);

/** Central directory header. */
const entryOf = ({ name, sum, length }: StoredFile, at: number): Buffer =>
  Buffer.concat([
    words([4, 0x02014b50], [2, VERSION], [2, VERSION], [2, UTF8], [2, 0], [2, 0], [2, DATE], [4, sum]),
    words([4, MOST], [4, MOST], [2, name.byteLength], [2, 28], [2, 0], [2, 0], [2, 0], [4, 0], [4, MOST]),
    name,
    words([2, 1], [2, 24], [8, length], [8, length], [8, at]),
  ]);

/** The end of the central directory, in its ZIP64 form and in the old one that points to it. */
const endOf = (directory: readonly Buffer[], at: number): Buffer => {
  const bytes = directory.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const files = directory.length;
  return Buffer.concat([
    words(
      [4, 0x06064b50],
      [8, 44],
      [2, VERSION],
      [2, VERSION],
      [4, 0],
      [4, 0],
      [8, files],
      [8, files],
      [8, bytes],
      [8, at],
    ),
    words([4, 0x07064b50], [4, 0], [8, at + bytes], [4, 1]),
    words([4, 0x06054b50], [2, 0], [2, 0], [2, 0xffff], [2, 0xffff], [4, MOST], [4, MOST], [2, 0]),
  ]);
};

/** Little-endian numbers of so many bytes each. */
const words = (...fields: readonly (readonly [2 | 4 | 8, number])[]): Buffer => {
  const out = Buffer.alloc(fields.reduce((sum, [width]) => sum + width, 0));
  let at = 0;
  for (const [width, value] of fields) {
    if (width === 8) out.writeBigUInt64LE(BigInt(value), at);
    else out.writeUIntLE(value, at, width);
    at += width;
  }
  return out;
};
