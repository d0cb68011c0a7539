import { AegisError } from '@aegis/errors';
import type { ModelFacts } from '../../../domain/run.ts';
import type { ModelBlocks } from '../../model-blocks.ts';
import { DTYPES } from './dtypes.ts';
import { type Segment, SegmentedFile } from './segmented-file.ts';

/** Models as safetensors: the header, then the bytes of each array, which stand in the model behind the head of its .npy file. */
export class Safetensors {
  readonly #models: ModelBlocks;

  constructor(models: ModelBlocks) {
    this.#models = models;
  }

  async of(modelId: string): Promise<SegmentedFile> {
    const segments = layOut(await this.#models.facts(modelId));
    const form = { mediaType: 'application/octet-stream', suffix: '.safetensors' };
    return new SegmentedFile(this.#models, modelId, segments, form);
  }
}

const layOut = ({ tensors }: ModelFacts): Segment[] => {
  const header: [name: string, described: object][] = [];
  const data: Segment[] = [];
  let at = 0;
  for (const { name, dtype, shape, offset, length } of tensors) {
    const known = DTYPES.find((one) => dtype === ('model' in one ? one.model : one.npy));
    if (!known) throw new AegisError('INTERNAL', `A model has the type ${dtype}.`);
    const bytes = shape.reduce((product, dimension) => product * dimension, known.bytes);
    header.push([name, { dtype: known.name, shape, data_offsets: [at, at + bytes] }]);
    data.push({ offset: offset + length - bytes, length: bytes });
    at += bytes;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(header)));
  // Padded with spaces, so that arrays begin where any type may.
  const padded = Math.ceil(json.byteLength / 8) * 8;
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded));
  return [{ own: Buffer.concat([length, json, Buffer.alloc(padded - json.byteLength, ' ')]) }, ...data];
};
