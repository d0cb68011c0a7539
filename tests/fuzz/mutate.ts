// New inputs from old ones: damage of bytes, and changes that keep the frame of a protobuf message intact.
import type { Chance } from './random.ts';

export type Form = 'protobuf' | 'text' | 'bytes';

export interface Material {
  readonly form: Form;
  /** Words that mean something to what is tried. */
  readonly words: readonly Buffer[];
  /** Another input, to be crossed with this one. */
  readonly other: Buffer;
  /** Bytes at the front that are no part of the message. */
  readonly keep: number;
}

const LONGEST = 16 * 1024;
const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

export function mutate(chance: Chance, input: Buffer, material: Material): Buffer {
  if (material.form === 'protobuf' && !chance.oneIn(3)) {
    const front = input.subarray(0, material.keep);
    const message = mutateMessage(chance, input.subarray(material.keep), material, 0);
    if (material.keep > 0 && chance.oneIn(8)) return Buffer.concat([chance.bytes(material.keep), message]);
    return cut(Buffer.concat([front, message]));
  }
  let bytes = input;
  const times = 1 + chance.below(4);
  for (let i = 0; i < times; i += 1) bytes = damage(chance, bytes, material);
  return cut(bytes);
}

const cut = (bytes: Buffer): Buffer => (bytes.byteLength > LONGEST ? bytes.subarray(0, LONGEST) : bytes);

function damage(chance: Chance, bytes: Buffer, { words, other }: Material): Buffer {
  const at = chance.below(bytes.byteLength + 1);
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (chance.below(11)) {
    case 0: {
      const copy = Buffer.from(bytes);
      for (let i = 1 + chance.below(4); i > 0; i -= 1) {
        const place = chance.below(copy.byteLength);
        copy[place] = (copy[place] ?? 0) ^ (1 << chance.below(8));
      }
      return copy;
    }
    case 1: {
      const copy = Buffer.from(bytes);
      if (at < copy.byteLength) copy[at] = chance.below(256);
      return copy;
    }
    case 2:
      return before;
    case 3:
      return Buffer.concat([before, chance.bytes(1 + chance.below(8)), after]);
    case 4:
      return Buffer.concat([before, after.subarray(1 + chance.below(16))]);
    case 5: {
      const piece = after.subarray(0, 1 + chance.below(64));
      return Buffer.concat([before, ...Array.from({ length: 1 + chance.below(40) }, () => piece), after]);
    }
    case 6: {
      const copy = Buffer.from(bytes);
      const width = chance.oneOf([1, 2, 4]);
      const value = chance.oneOf(INTERESTING);
      for (let i = 0; i < width && at + i < copy.byteLength; i += 1) copy[at + i] = value >>> (8 * i);
      return copy;
    }
    case 7:
      return words.length === 0 ? before : Buffer.concat([before, chance.oneOf(words), after]);
    case 8: {
      if (words.length === 0) return after;
      const word = chance.oneOf(words);
      return Buffer.concat([before, word, after.subarray(word.byteLength)]);
    }
    case 9: {
      const from = chance.below(other.byteLength + 1);
      return Buffer.concat([before, other.subarray(from, from + 1 + chance.below(256)), after]);
    }
    default:
      return Buffer.concat([before, other.subarray(chance.below(other.byteLength + 1))]);
  }
}

/** A field as it is on the wire. `body`: of a length-delimited one. */
interface Field {
  number: number;
  type: number;
  value: bigint;
  body: Buffer | null;
  fixed: Buffer | null;
}

const DEEPEST = 5;

function mutateMessage(chance: Chance, message: Buffer, material: Material, depth: number): Buffer {
  const fields = parse(message);
  if (fields === null) return damage(chance, message, material);
  const at = chance.below(fields.length);
  const field = fields[at];
  if (field === undefined) return Buffer.concat([message, encode([randomField(chance, material)])]);
  switch (chance.below(12)) {
    case 0:
      fields.splice(at, 1);
      break;
    case 1:
      fields.splice(at, 0, ...Array.from({ length: 1 + chance.below(30) }, () => field));
      break;
    case 2:
      fields.splice(at, 0, randomField(chance, material));
      break;
    case 3:
      field.number = chance.oneIn(4) ? chance.below(2 ** 29) : chance.below(24);
      break;
    case 4:
      field.type = chance.below(8);
      break;
    case 5: {
      const others = parse(material.other.subarray(material.keep)) ?? [];
      if (others.length > 0) fields.splice(at, 0, chance.oneOf(others));
      break;
    }
    case 6:
      fields.reverse();
      break;
    case 7: {
      // The length says another thing than what follows.
      const bytes = encode(fields);
      return Buffer.concat([bytes, Buffer.from([field.number * 8 + 2, 0xff, 0xff, 0xff, 0xff, 0x0f])]);
    }
    default:
      if (field.body !== null) {
        const isDeep = depth < DEEPEST && field.body.byteLength > 1 && !chance.oneIn(3);
        field.body = isDeep
          ? mutateMessage(chance, field.body, material, depth + 1)
          : damage(chance, field.body, material);
      } else if (field.fixed !== null) field.fixed = chance.bytes(field.fixed.byteLength);
      else field.value = randomNumber(chance);
  }
  return encode(fields);
}

const randomNumber = (chance: Chance): bigint => {
  const shift = BigInt(chance.below(64));
  const edge = 1n << shift;
  return BigInt.asUintN(64, chance.oneOf([edge, edge - 1n, -edge, BigInt(chance.word()), 0n, 1n]));
};

const randomField = (chance: Chance, { words }: Material): Field => {
  const type = chance.oneOf([0, 1, 2, 5]);
  const body = words.length > 0 && chance.oneIn(2) ? chance.oneOf(words) : chance.bytes(chance.below(24));
  return {
    ...{ number: 1 + chance.below(20), type, value: randomNumber(chance) },
    body: type === 2 ? body : null,
    fixed: type === 1 ? chance.bytes(8) : type === 5 ? chance.bytes(4) : null,
  };
};

/** null: it is no message. */
function parse(bytes: Buffer): Field[] | null {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint | null => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at];
      if (byte === undefined) return null;
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return null;
  };
  while (at < bytes.byteLength) {
    const tag = varint();
    if (tag === null || tag >= 1n << 32n) return null;
    const [number, type] = [Number(tag >> 3n), Number(tag & 7n)];
    const field: Field = { number, type, value: 0n, body: null, fixed: null };
    if (type === 0) {
      const value = varint();
      if (value === null) return null;
      field.value = value;
    } else if (type === 2) {
      const length = varint();
      if (length === null || length > BigInt(bytes.byteLength - at)) return null;
      field.body = bytes.subarray(at, at + Number(length));
      at += Number(length);
    } else if (type === 1 || type === 5) {
      const width = type === 1 ? 8 : 4;
      if (at + width > bytes.byteLength) return null;
      field.fixed = bytes.subarray(at, at + width);
      at += width;
    } else return null;
    fields.push(field);
  }
  return fields;
}

const encode = (fields: readonly Field[]): Buffer =>
  Buffer.concat(
    fields.flatMap(({ number, type, value, body, fixed }) => {
      const tag = varintBytes(BigInt(number) * 8n + BigInt(type));
      if (body !== null) return [tag, varintBytes(BigInt(body.byteLength)), body];
      return [tag, fixed ?? varintBytes(value)];
    }),
  );

const varintBytes = (value: bigint): Buffer => {
  const bytes: number[] = [];
  let left = BigInt.asUintN(64, value);
  while (left > 127n) {
    bytes.push(Number(left & 127n) | 0x80);
    left >>= 7n;
  }
  bytes.push(Number(left));
  return Buffer.from(bytes);
};
