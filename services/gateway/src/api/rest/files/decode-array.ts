import type { ModelTensor } from '../../../domain/run.ts';
import { type ArrayValues, bytesOfKind, type Numbers, numbersOf } from './found-array.ts';
import { malformed, shown } from './malformed.ts';

/** What is made at once: a part of an answer. */
const BLOCK_BYTES = 2 ** 20;
/** Values of an array that are read at once, a MiB at most. */
const CHUNK = 2 ** 17;

/**
 * `quantised`: integers q of the tensor's shape stand for (q − zero point) · scale, with one scale and zero point for all or one of each for every index of the first
 * axis: affine quantisation as in ONNX (DequantizeLinear, axis 0) and PyTorch. Of the weights, or of their difference from the task's model.
 * `sparse`: values at some places, by their index in the flattened tensor (C order), ascending; they are differences, and elsewhere there is none.
 */
export type EncodedArray =
  | {
      readonly as: 'quantised';
      readonly of: 'weights' | 'difference';
      readonly values: ArrayValues;
      readonly scale: ArrayValues;
      readonly zeroPoint: ArrayValues | null;
    }
  | { readonly as: 'sparse'; readonly values: ArrayValues; readonly indices: ArrayValues };

/** The tensor of the task's model that the array stands for, and its values from there on, as many as there are bytes for. */
export interface ModelTensorValues {
  readonly tensor: ModelTensor;
  /** `at`, `bytes`: of its values in C order, without a head. */
  read(at: number, bytes: number): Promise<Buffer>;
}

type Floats = Float32Array | Float64Array;

/**
 * The tensor's values in the model's type, in C order, in pieces of at most 1 MiB; what is computed is computed in float64 and rounded once. REPLY_MALFORMED, with what is wrong. NaN and infinity pass: the
 * answer is judged as any other when it is whole.
 */
export async function* decodeArray(array: EncodedArray, model: ModelTensorValues): AsyncGenerator<Buffer> {
  const { dtype, shape, name } = model.tensor;
  if (dtype !== '<f4' && dtype !== '<f8')
    throw malformed(
      `The tensor "${shown(name)}" is of ${dtype}: encoded are float32 and float64 alone, send it whole.`,
    );
  const count = shape.reduce((product, dimension) => product * dimension, 1);
  const bytes = bytesOfKind(dtype);
  const most = BLOCK_BYTES / bytes;
  const fill = array.as === 'sparse' ? await scatter(array, name, count) : await dequantise(array, model.tensor, count);
  const needsModel = array.as === 'sparse' || array.of === 'difference';
  for (let at = 0; at < count; at += most) {
    const length = Math.min(most, count - at);
    const base = needsModel ? await model.read(at * bytes, length * bytes) : new Uint8Array(length * bytes);
    const block = numbersOf(dtype, base) as Floats;
    await fill(block, at);
    yield Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  }
}

/** Adds to a block of values, which begins there, or sets them. */
type Fill = (block: Floats, at: number) => Promise<void>;

const dequantise = async (
  { of, values, scale, zeroPoint }: Extract<EncodedArray, { as: 'quantised' }>,
  { name, shape }: ModelTensor,
  count: number,
): Promise<Fill> => {
  const where = `the tensor "${shown(name)}"`;
  if (isFloat(values.kind) || values.kind === '<i8')
    throw malformed(`The values of ${where} are of ${values.kind}, not integers of up to 32 bits.`);
  if (values.shape.join() !== shape.join())
    throw malformed(
      `The values of ${where} have the shape (${values.shape.join(', ')}), the model has (${shape.join(', ')}).`,
    );
  if (!isFloat(scale.kind)) throw malformed(`The scale of ${where} is of ${scale.kind}, not of float32 or float64.`);
  if (zeroPoint && zeroPoint.kind !== values.kind)
    throw malformed(`The zero point of ${where} is of ${zeroPoint.kind}, its values are of ${values.kind}.`);
  const channels = scale.count;
  const fits = (array: ArrayValues): boolean => array.count === channels && array.shape.length <= 1;
  if (!fits(scale) || (zeroPoint && !fits(zeroPoint)) || (channels !== 1 && channels !== shape[0]))
    throw malformed(
      `Scale and zero point of ${where} have one value for all, or one for every index of its first axis: of both as many.`,
    );
  const perChannel = count / channels;
  const read = async (first: number, length: number) => ({
    ...{ first, scales: await scale.read(first, length), zeros: (await zeroPoint?.read(first, length)) ?? null },
  });
  const few = channels <= CHUNK ? await read(0, channels) : null;
  return async (block, at) => {
    const q = await values.read(at, block.length);
    const of0 = Math.floor(at / perChannel);
    const { first, scales, zeros } =
      few ?? (await read(of0, Math.floor((at + block.length - 1) / perChannel) - of0 + 1));
    for (let index = 0; index < block.length; ) {
      const channel = Math.floor((at + index) / perChannel);
      const end = Math.min((channel + 1) * perChannel - at, block.length);
      const [by, zero] = [Number(scales[channel - first]), Number(zeros?.[channel - first] ?? 0)];
      add(block, q, { from: index, end, scale: by, zero, of });
      index = end;
    }
  };
};

const add = (
  block: Floats,
  q: Numbers,
  {
    from,
    end,
    scale,
    zero,
    of,
  }: { from: number; end: number; scale: number; zero: number; of: 'weights' | 'difference' },
): void => {
  const keeps = of === 'difference' ? 1 : 0;
  for (let index = from; index < end; index += 1)
    block[index] = (block[index] as number) * keeps + (Number(q[index]) - zero) * scale;
};

const scatter = async (
  { values, indices }: Extract<EncodedArray, { as: 'sparse' }>,
  name: string,
  count: number,
): Promise<Fill> => {
  const where = `the tensor "${shown(name)}"`;
  if (isFloat(indices.kind)) throw malformed(`The indices of ${where} are of ${indices.kind}, not integers.`);
  if (!isFloat(values.kind))
    throw malformed(`The values of ${where} are of ${values.kind}, not of float32 or float64.`);
  if (indices.shape.length !== 1 || values.shape.length !== 1 || indices.count !== values.count)
    throw malformed(`Indices and values of ${where} are two lists of the same length.`);
  if (indices.count > count)
    throw malformed(`The tensor "${shown(name)}" has ${count} values, and ${indices.count} indices.`);
  let [next, last, from] = [0, -1, 0];
  let chunk: { readonly places: Numbers; readonly added: Numbers } | null = null;
  const refill = async (): Promise<{ readonly places: Numbers; readonly added: Numbers }> => {
    from = next;
    const length = Math.min(CHUNK, indices.count - next);
    return { places: await indices.read(next, length), added: await values.read(next, length) };
  };
  return async (block, at) => {
    while (next < indices.count) {
      chunk ??= await refill();
      const { places, added } = chunk;
      for (; next < from + places.length; next += 1) {
        const index = Number(places[next - from]);
        if (index <= last) throw malformed(`The indices of ${where} do not ascend: ${index} follows ${last}.`);
        if (index >= count)
          throw malformed(`The tensor "${shown(name)}" has ${count} values, none with the index ${index}.`);
        if (index >= at + block.length) return;
        block[index - at] = (block[index - at] as number) + Number(added[next - from]);
        last = index;
      }
      chunk = null;
    }
  };
};

const isFloat = (kind: string): boolean => kind.includes('f');
