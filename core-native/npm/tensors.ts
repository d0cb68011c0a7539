// What models and updates are made of.

import { binding } from './binding.ts';
import { awaiting, calling } from './core-error.ts';

/**
 * `dtype` is numpy's descr — `<f2 <f4 <f8 |i1 <i2 <i4 <i8 |u1 <u2 <u4 <u8 |b1` — or `bfloat16`. An npy file of two-byte
 * records (`<V2`, numpy's way to write bfloat16) is read as bfloat16 only where the spec says so.
 */
export interface TensorSpec {
  name: string;
  dtype: string;
  shape: number[];
}

export interface PartSlice {
  part: string;
  offset: number;
  length: number;
}

/** The slices, joined, are one complete `.npy` file. `dtype: 'bfloat16'` says what `<V2` holds where there is no spec. */
export interface TensorSource {
  name: string;
  slices: PartSlice[];
  dtype?: string;
}

export interface NpyHeader {
  dtype: string;
  shape: number[];
  fortranOrder: boolean;
  dataOffset: number;
}

/** Reads the header at the front of `bytes`; the payload may be missing. */
export function readNpyHeader(bytes: Uint8Array): NpyHeader {
  return calling(() => binding.readNpyHeader(bytes));
}

/**
 * The elements of a whole npy file in C order, as secure aggregation takes updates: a view of the file, copied only
 * where numpy wrote it in Fortran order. It must be of the spec's shape and element type.
 */
export async function npyElements(npy: Uint8Array, spec: TensorSpec): Promise<Uint8Array> {
  const reordered = await awaiting(() => binding.npyReordered(npy, spec));
  return reordered ?? npy.subarray(readNpyHeader(npy).dataOffset);
}

/**
 * Least and greatest value of a whole npy file; null for one without elements. `dtype`: of the model's tensor, where there is one: the file
 * cannot name bfloat16. VALUE_NOT_FINITE for NaN and infinity; integers beyond 2^53 count as the nearest number.
 */
export async function npyValueRange(
  npy: Uint8Array,
  dtype?: string,
): Promise<{ least: number; greatest: number } | null> {
  const range = await awaiting(() => binding.npyValueRange(npy, dtype));
  return range === null ? null : { least: range[0] ?? Number.NaN, greatest: range[1] ?? Number.NaN };
}
