import { readNpyHeader } from '@aegis/core-native';
import type { FileOfParts } from '../../../flows/file-of-parts.ts';
import { malformed, shown } from './malformed.ts';

/** An array of a file, where it lies there. */
export interface FoundArray {
  readonly name: string;
  /** Of its .npy file: what lies in the file are the values alone. null: the .npy file lies there whole. */
  readonly head: Buffer | null;
  /** From the beginning of the file, in bytes. */
  readonly at: number;
  readonly bytes: number;
}

/** Heads of .npy files have some 100 bytes; of what is larger than this nothing is read. */
export const MOST_HEAD = 4_096;

type Floats = Float32Array | Float64Array;
type Integers = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | BigInt64Array;
export type Numbers = Floats | Integers;

/** As numpy names the types: what a buffer of such values is read as. */
const KINDS = {
  '|i1': Int8Array,
  '|u1': Uint8Array,
  '<i2': Int16Array,
  '<u2': Uint16Array,
  '<i4': Int32Array,
  '<u4': Uint32Array,
  '<i8': BigInt64Array,
  '<f4': Float32Array,
  '<f8': Float64Array,
} as const satisfies Record<string, new (bytes: ArrayBuffer) => Numbers>;
export type NumberKind = keyof typeof KINDS;
const isKind = (dtype: string): dtype is NumberKind => Object.hasOwn(KINDS, dtype);

/** In a buffer of its own, as typed arrays want it aligned. */
export const numbersOf = (kind: NumberKind, bytes: Uint8Array): Numbers =>
  new KINDS[kind](new Uint8Array(bytes).buffer as ArrayBuffer);

export const bytesOfKind = (kind: NumberKind): number => KINDS[kind].BYTES_PER_ELEMENT;

/** The values of an array of a file, in C order, read a piece at a time. */
export class ArrayValues {
  readonly kind: NumberKind;
  readonly shape: readonly number[];
  readonly count: number;
  readonly #file: FileOfParts;
  readonly #at: number;

  private constructor(file: FileOfParts, at: number, kind: NumberKind, shape: readonly number[]) {
    this.#file = file;
    this.#at = at;
    this.kind = kind;
    this.shape = shape;
    this.count = shape.reduce((product, dimension) => product * dimension, 1);
  }

  /** REPLY_MALFORMED for what is no array of numbers in C order. */
  static async open(file: FileOfParts, { name, head, at, bytes }: FoundArray): Promise<ArrayValues> {
    const { dtype, shape, fortranOrder, dataOffset } = headOf(
      name,
      head ?? (await file.read(at, Math.min(bytes, MOST_HEAD))),
    );
    if (!isKind(dtype) || fortranOrder)
      throw malformed(
        `The array "${shown(name)}" is of ${dtype}${fortranOrder ? ' in Fortran order' : ''}, which no encoding has.`,
      );
    const values = new ArrayValues(file, head ? at : at + dataOffset, dtype, shape);
    const own = head ? bytes : bytes - dataOffset;
    if (values.count * bytesOfKind(dtype) !== own)
      throw malformed(`Of the array "${shown(name)}" there are ${own} bytes, and its shape says otherwise.`);
    return values;
  }

  /** So many values from there on. */
  async read(from: number, count: number): Promise<Numbers> {
    const bytes = bytesOfKind(this.kind);
    return numbersOf(this.kind, await this.#file.read(this.#at + from * bytes, count * bytes));
  }
}

const headOf = (name: string, bytes: Buffer): ReturnType<typeof readNpyHeader> => {
  try {
    return readNpyHeader(bytes);
  } catch (cause) {
    throw malformed(`The array "${shown(name)}" is no .npy file.`, cause);
  }
};
