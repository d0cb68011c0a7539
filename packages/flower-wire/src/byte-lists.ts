// Where the bytes of a ConfigRecord's lists lie, without a copy of them: a masked vector has eight bytes a parameter, in one record.

import { AegisError } from '@aegis/errors';
import { limits } from './limits.ts';

export interface ByteRange {
  offset: number;
  length: number;
}

const malformed = (): AegisError => new AegisError('OBJECT_MALFORMED', 'It is no ConfigRecord.');

/** Field numbers of recorddict.proto. */
const ITEMS = 1;
const KEY = 1;
const VALUE = 2;
const BYTES_LIST = 26;
const VALS = 1;

const LENGTH_DELIMITED = 2;
const FIXED = new Map([
  [1, 8],
  [5, 4],
]);

/** The values of each list of bytes, by its key. OBJECT_MALFORMED for what is no record, or has more than a reply may have slices. */
export function byteLists(body: Uint8Array): Map<string, ByteRange[]> {
  const lists = new Map<string, ByteRange[]>();
  let count = 0;
  for (const item of fieldsOf(body, { offset: 0, length: body.byteLength }, ITEMS)) {
    const [key] = fieldsOf(body, item, KEY);
    const [value] = fieldsOf(body, item, VALUE);
    const [list] = value === undefined ? [] : fieldsOf(body, value, BYTES_LIST);
    if (key === undefined || list === undefined) continue;
    const name = Buffer.from(body.buffer, body.byteOffset + key.offset, key.length).toString('utf8');
    const ranges: ByteRange[] = [];
    for (const range of fieldsOf(body, list, VALS)) {
      count += 1;
      if (count > limits.slices) throw malformed();
      ranges.push(range);
    }
    lists.set(name, ranges);
  }
  return lists;
}

/** The contents of this length-delimited field of a message, as often as it is there. */
function* fieldsOf(body: Uint8Array, message: ByteRange, field: number): Generator<ByteRange> {
  const end = message.offset + message.length;
  let at = message.offset;
  const varint = (): number => {
    let value = 0;
    for (let place = 1; ; place *= 128) {
      const byte = body[at];
      at += 1;
      if (byte === undefined || at > end || place > 2 ** 49) throw malformed();
      value += (byte & 127) * place;
      if (byte < 128) return value;
    }
  };
  while (at < end) {
    const tag = varint();
    const type = tag % 8;
    if (type === 0) {
      // a number of up to ten bytes
      while ((body[at] ?? 0) >= 128) at += 1;
      at += 1;
    } else if (type === LENGTH_DELIMITED) {
      const length = varint();
      if (length > end - at) throw malformed();
      if (Math.floor(tag / 8) === field) yield { offset: at, length };
      at += length;
    } else {
      const length = FIXED.get(type);
      if (length === undefined) throw malformed();
      at += length;
    }
    if (at > end) throw malformed();
  }
}
