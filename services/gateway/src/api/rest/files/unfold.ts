import { readNpyHeader } from '@aegis/core-native';
import type { ModelTensor, Slice, Update } from '../../../domain/run.ts';
import { FileOfParts } from '../../../flows/file-of-parts.ts';
import type { Gateway } from '../../../flows/gateway.ts';
import type { ModelBlocks } from '../../model-blocks.ts';
import type { Keep, Unfold } from '../../node/update-intake.ts';
import type { Encoding } from '../schemas.ts';
import { decodeArray, type EncodedArray, type ModelTensorValues } from './decode-array.ts';
import { ArrayValues, type FoundArray, MOST_HEAD } from './found-array.ts';
import { malformed, shown } from './malformed.ts';
import { npyHead } from './npy-head.ts';
import { npzArrays } from './unfold-npz.ts';
import { safetensorsArrays } from './unfold-safetensors.ts';

/** One file that holds all arrays of an answer. */
export interface ArrayFile {
  readonly format: 'npz' | 'safetensors';
  readonly slices: readonly Slice[];
  /** Tensors that other arrays of the file stand for. */
  readonly encoded: readonly Encoding[];
}

export interface Unfolding {
  readonly gateway: Gateway;
  readonly models: ModelBlocks;
  /** Of the task: differences are from it, and encoded tensors have its types and shapes. */
  readonly modelId: string;
}

type Tensor = Update['tensors'][number];

/**
 * Finds the arrays of the file once its parts are all here: those that are tensors as they are stay where they lie, encoded ones are written out whole. Every
 * answer is judged and folded as one of whole tensors. REPLY_MALFORMED, with what is wrong, for what is no such file.
 */
export const unfolding =
  (ground: Unfolding, { format, slices, encoded }: ArrayFile): Unfold =>
  async (task, keep) => {
    const file = new FileOfParts(ground.gateway, task, slices);
    const found = format === 'npz' ? await npzArrays(file) : await safetensorsArrays(file);
    const used = new Set(encoded.flatMap(arraysOf));
    const plain = found.filter(({ name }) => !used.has(name));
    const names = new Set(plain.map(({ name }) => name));
    const twice = encoded.find(({ name }) => names.has(name));
    if (twice) throw malformed(`The tensor "${shown(twice.name)}" is in the file as it is, and encoded.`);
    return [...(await headed(file, plain, keep)), ...(await decoded(ground, { file, found, encoded, keep }))];
  };

/** Heads that the file has not are one part more. */
const headed = async (file: FileOfParts, arrays: readonly FoundArray[], keep: Keep): Promise<Tensor[]> => {
  const heads = Buffer.concat(arrays.flatMap(({ head }) => head ?? []));
  const partId = heads.byteLength > 0 ? await keep(heads) : '';
  let offset = 0;
  return arrays.map(({ name, head, at, bytes }) => {
    if (head === null) return { name, slices: file.slices(at, bytes) };
    const own = { partId, offset, length: head.byteLength };
    offset += head.byteLength;
    return { name, slices: [own, ...file.slices(at, bytes)] };
  });
};

interface Encoded {
  readonly file: FileOfParts;
  readonly found: readonly FoundArray[];
  readonly encoded: readonly Encoding[];
  readonly keep: Keep;
}

const decoded = async (ground: Unfolding, { file, found, encoded, keep }: Encoded): Promise<Tensor[]> => {
  if (encoded.length === 0) return [];
  const byName = new Map(found.map((array) => [array.name, array]));
  const tensors = new Map((await ground.models.facts(ground.modelId)).tensors.map((tensor) => [tensor.name, tensor]));
  if (encoded.length > tensors.size)
    throw malformed(`The model has ${tensors.size} tensors, and ${encoded.length} are encoded.`);
  const open = (name: string): Promise<ArrayValues> => {
    const array = byName.get(name);
    if (!array) throw malformed(`The file has no array "${shown(name)}".`);
    return ArrayValues.open(file, array);
  };
  const made: Tensor[] = [];
  for (const encoding of encoded) {
    const tensor = tensors.get(encoding.name);
    if (!tensor) throw malformed(`The model has no tensor "${shown(encoding.name)}".`);
    const array = await opened(encoding, open);
    const slices = [await keptWhole(npyHead(tensor.dtype, tensor.shape), keep)];
    for await (const block of decodeArray(array, await modelValues(ground, tensor)))
      slices.push(await keptWhole(block, keep));
    made.push({ name: encoding.name, slices });
  }
  return made;
};

const keptWhole = async (content: Buffer, keep: Keep): Promise<Slice> => ({
  ...{ partId: await keep(content), offset: 0, length: content.byteLength },
});

const opened = async (encoding: Encoding, open: (name: string) => Promise<ArrayValues>): Promise<EncodedArray> => {
  if (encoding.as === 'sparse')
    return { as: 'sparse', values: await open(encoding.values), indices: await open(encoding.indices) };
  const { of, values, scale, zeroPoint } = encoding;
  return {
    ...{ as: 'quantised', of, values: await open(values), scale: await open(scale) },
    zeroPoint: zeroPoint === undefined ? null : await open(zeroPoint),
  };
};

const modelValues = async ({ models, modelId }: Unfolding, tensor: ModelTensor): Promise<ModelTensorValues> => {
  const { offset, length, name } = tensor;
  const read = async (at: number, bytes: number): Promise<Buffer> => {
    const pieces: Buffer[] = [];
    for await (const { content } of models.read(modelId, at, bytes)) pieces.push(content);
    return Buffer.concat(pieces);
  };
  const { dataOffset, fortranOrder } = readNpyHeader(await read(offset, Math.min(length, MOST_HEAD)));
  if (fortranOrder) throw malformed(`The tensor "${shown(name)}" lies in Fortran order in the model: send it whole.`);
  return { tensor, read: (at, bytes) => read(offset + dataOffset + at, bytes) };
};

const arraysOf = (encoding: Encoding): string[] =>
  encoding.as === 'sparse'
    ? [encoding.indices, encoding.values]
    : [encoding.values, encoding.scale, ...(encoding.zeroPoint === undefined ? [] : [encoding.zeroPoint])];
