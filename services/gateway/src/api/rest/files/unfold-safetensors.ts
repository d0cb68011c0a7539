import { AegisError } from '@aegis/errors';
import { z } from 'zod';
import type { FileOfParts } from '../../../flows/file-of-parts.ts';
import { check } from '../check.ts';
import { readJson } from '../json-shape.ts';
import { DTYPES } from './dtypes.ts';
import type { FoundArray } from './found-array.ts';
import { malformed } from './malformed.ts';
import { npyHead } from './npy-head.ts';

// The format: a header's length in 8 bytes, the header in JSON, and behind it the arrays' bytes, little-endian and in C order.
const LENGTH_BYTES = 8;
/** Ten thousand arrays have less, and no more are taken: readJson has as many members for any object. */
const MOST_HEADER = 8 * 2 ** 20;
const METADATA = '__metadata__';

const count = z.number().int().min(0);
const array = z.strictObject({
  dtype: z.string(),
  shape: z.array(count).max(32),
  data_offsets: z.tuple([count, count]),
});

/** Each array gets the head of a .npy file; its bytes stay where they are. */
export const safetensorsArrays = async (file: FileOfParts): Promise<FoundArray[]> => {
  const { described, data } = await headerOf(file);
  const names = Object.keys(described).filter((name) => name !== METADATA);
  const found = names.map((name) => ({ name, ...placed(name, described[name]) }));
  refuseOverlaps(found);
  return found.map(({ name, head, begin, bytes }) => ({ name, head, at: data + begin, bytes }));
};

/** The format has none. Cut out many times, a small file would be many parts of an answer. */
const refuseOverlaps = (arrays: readonly { name: string; begin: number; bytes: number }[]): void => {
  let end = 0;
  for (const { name, begin, bytes } of arrays.filter(({ bytes }) => bytes > 0).sort((a, b) => a.begin - b.begin)) {
    if (begin < end) throw malformed(`The array "${name.slice(0, 100)}" begins in another.`);
    end = begin + bytes;
  }
};

/** What the header says, and where the arrays' bytes begin. */
const headerOf = async (file: FileOfParts): Promise<{ described: Record<string, unknown>; data: number }> => {
  const length = Number((await file.read(0, LENGTH_BYTES)).readBigUInt64LE());
  if (length > MOST_HEADER) throw malformed(`Its header has ${length} bytes, at most ${MOST_HEADER} are taken.`);
  const text = await file.read(LENGTH_BYTES, length);
  try {
    const described = check(z.record(z.string(), z.unknown()), readJson(text, 'Its header'), 'the header');
    return { described, data: LENGTH_BYTES + length };
  } catch (error) {
    throw malformed(error instanceof AegisError ? error.detail : 'Its header is no JSON.', error);
  }
};

const placed = (name: string, said: unknown): { head: Buffer; begin: number; bytes: number } => {
  const where = `the array "${name.slice(0, 100)}"`;
  const described = array.safeParse(said);
  if (!described.success) throw malformed(`Of ${where} the header does not say type, shape and place.`);
  const { dtype, shape, data_offsets: offsets } = described.data;
  const known = DTYPES.find((one) => one.name === dtype);
  if (!known) throw malformed(`The type of ${where} is ${dtype.slice(0, 20)}, which is not taken.`);
  const bytes = shape.reduce((product, dimension) => product * dimension, known.bytes);
  const [begin, end] = offsets;
  if (end - begin !== bytes)
    throw malformed(`Of ${where} there are ${end - begin} bytes, and its shape says ${bytes}.`);
  return { head: npyHead(known.npy, shape), begin, bytes };
};
