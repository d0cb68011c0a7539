// Flower's content-addressed objects.
//   bytes = <TypeName> SP <child id>[,<child id>…] SP <decimal body length> 0x00 <body>      id = lower-case hex SHA-256

import { AegisError } from '@aegis/errors';
import { strictText } from '@aegis/service-kit';
import { type ByteRange, byteLists } from './byte-lists.ts';
import { sha256HexSync } from './hash.ts';
import { limits } from './limits.ts';
import { parseStringMap, pythonString, pythonStringMap } from './python-json.ts';

const objectTypes = [
  'ArrayChunk',
  'Array',
  'ArrayRecord',
  'MetricRecord',
  'ConfigRecord',
  'RecordDict',
  'Message',
] as const;
export type ObjectType = (typeof objectTypes)[number];

/** What an object of each type may be made of. Every other structure is refused, so trees are five levels at most. */
const childTypes: Readonly<Record<ObjectType, readonly ObjectType[]>> = {
  Message: ['RecordDict'],
  RecordDict: ['ArrayRecord', 'MetricRecord', 'ConfigRecord'],
  ArrayRecord: ['Array'],
  Array: ['ArrayChunk'],
  ArrayChunk: [],
  MetricRecord: [],
  ConfigRecord: [],
};

/** Throws OBJECT_TREE when an object of this type has no place below one of that type. */
export function checkChild(parent: ObjectType, id: string, child: ObjectType): void {
  if (childTypes[parent].includes(child)) return;
  throw new AegisError('OBJECT_TREE', `The object ${id} is of type ${child}, which no ${parent} is made of.`);
}

export interface FlowerObject {
  type: ObjectType;
  children: string[];
  headerLength: number;
  /** A view into the input. */
  body: Buffer;
}

export interface MadeObject {
  id: string;
  bytes: Buffer;
}

const idPattern = /^[0-9a-f]{64}$/;
export const isObjectId = (text: string): boolean => idPattern.test(text);

const malformed = (detail: string): AegisError => new AegisError('OBJECT_MALFORMED', detail);

/** `children` are distinct ids in order of first use. */
export function objectHeader(type: ObjectType, children: readonly string[], bodyLength: number): Buffer {
  return Buffer.from(`${type} ${children.join(',')} ${bodyLength}\0`, 'latin1');
}

export function makeObject(type: ObjectType, children: Iterable<string>, body: Uint8Array): MadeObject {
  const bytes = Buffer.concat([objectHeader(type, [...new Set(children)], body.byteLength), body]);
  return { id: sha256HexSync([bytes]), bytes };
}

/** Layout only; the caller has compared, or will compare, the hash. Stricter than the reference: lower-case ids, no repeats. */
export function readObject(bytes: Uint8Array): FlowerObject {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = view.indexOf(0);
  if (end < 0) throw malformed('The header does not end.');
  if (end > 64 + limits.children * 65) throw malformed('The header is too long.');
  const [type, ids, length, ...more] = view.toString('latin1', 0, end).split(' ');
  if (type === undefined || ids === undefined || length === undefined || more.length > 0) {
    throw malformed('The header does not have three fields.');
  }
  if (!isObjectType(type)) throw malformed('The header names an unknown type.');
  const children = ids === '' ? [] : ids.split(',');
  if (children.length > limits.children) throw malformed(`More than ${limits.children} children.`);
  if (!children.every(isObjectId)) throw malformed('A child id is not 64 lower-case hex characters.');
  if (new Set(children).size !== children.length) throw malformed('A child is listed twice.');
  if (!/^(0|[1-9][0-9]{0,14})$/.test(length)) throw malformed('The length is not a number.');
  const body = view.subarray(end + 1);
  if (body.byteLength !== Number(length)) {
    throw malformed(`The header announces ${length} bytes, ${body.byteLength} are there.`);
  }
  return { type, children, headerLength: end + 1, body };
}

const isObjectType = (text: string): text is ObjectType => (objectTypes as readonly string[]).includes(text);

/** What must be kept of an object of a reply to read the reply later; a few hundred bytes for a chunk of megabytes. */
export interface HeldObject {
  type: ObjectType;
  children: readonly string[];
  headerLength: number;
  bodyLength: number;
  /** A copy, or null for an ArrayChunk and for records too big to be worth it. */
  body: Buffer | null;
  /** Of a ConfigRecord whose body is not here. */
  lists?: ReadonlyMap<string, readonly ByteRange[]>;
}

/** Checks the layout of an object that passes and keeps what `parseReply` needs. Throws OBJECT_MALFORMED. */
export function holdObject(content: Uint8Array): HeldObject {
  const { type, children, headerLength, body } = readObject(content);
  if (children.length > 0 && childTypes[type].length === 0) throw malformed(`A ${type} has no children.`);
  if (children.length > 1 && type === 'Message') throw malformed('A Message has one content.');
  const keep = type !== 'ArrayChunk' && body.byteLength <= limits.structure;
  if (!keep && type !== 'ArrayChunk' && type !== 'ConfigRecord' && type !== 'MetricRecord') {
    throw malformed(`A ${type} of ${body.byteLength} bytes is larger than ${limits.structure}.`);
  }
  const held = { type, children, headerLength, bodyLength: body.byteLength };
  if (keep) return { ...held, body: Buffer.from(body) };
  return { ...held, body: null, ...(type === 'ConfigRecord' && { lists: byteLists(body) }) };
}

/** The same from the first bytes of a stored object that was checked when it passed; null unless it is an ArrayChunk. */
export function holdChunkHeader(firstBytes: Uint8Array): HeldObject | null {
  const text = Buffer.from(firstBytes.buffer, firstBytes.byteOffset, Math.min(firstBytes.byteLength, 64));
  const found = /^ArrayChunk {2}(0|[1-9][0-9]{0,14})\0/.exec(text.toString('latin1'));
  if (found === null) return null;
  return { type: 'ArrayChunk', children: [], headerLength: found[0].length, bodyLength: Number(found[1]), body: null };
}

export interface ArrayBody {
  /** Informative only: "" in legacy records. The npy header decides. */
  dtype: string;
  shape: number[];
  stype: string;
  /** Indices into the child list, in data order; repeats allowed. */
  chunks: number[];
}

export function arrayBody({ dtype, shape, stype, chunks }: ArrayBody): Buffer {
  return Buffer.from(
    `{"dtype": ${pythonString(dtype)}, "shape": [${shape.join(', ')}], "stype": ${pythonString(stype)}, ` +
      `"arraychunk_ids": [${chunks.join(', ')}]}`,
    'latin1',
  );
}

/** Every child must be used, and only children. */
export function readArrayBody(body: Uint8Array, children: readonly string[]): ArrayBody {
  let value: unknown;
  try {
    value = JSON.parse(strictText(body));
  } catch (cause) {
    throw new AegisError('OBJECT_MALFORMED', 'The Array is not JSON.', cause);
  }
  if (typeof value !== 'object' || value === null) throw malformed('The Array is not a JSON object.');
  const { dtype, shape, stype, arraychunk_ids: chunks } = value as Record<string, unknown>;
  if (typeof dtype !== 'string' || typeof stype !== 'string') throw malformed('The Array has no dtype or stype.');
  if (!isIndexList(shape) || !isIndexList(chunks)) throw malformed('The Array has no shape or no arraychunk_ids.');
  if (chunks.some((index) => index >= children.length)) throw malformed('The Array uses a chunk it does not list.');
  if (new Set(chunks).size !== children.length) throw malformed('The Array lists a chunk it does not use.');
  return { dtype, shape, stype, chunks };
}

const isIndexList = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);

/** Body of an ArrayRecord or RecordDict: name → child id, in the order given. */
export const namesBody = (names: Iterable<readonly [string, string]>): Buffer =>
  Buffer.from(pythonStringMap(names), 'latin1');

const textIn = (body: Uint8Array): string => {
  try {
    return strictText(body);
  } catch (cause) {
    throw new AegisError('OBJECT_MALFORMED', 'The names are not UTF-8.', cause);
  }
};

/** Names in the order written. The ids must be exactly the children. */
export function readNamesBody(body: Uint8Array, children: readonly string[]): [string, string][] {
  const names = parseStringMap(textIn(body));
  const used = new Set(names.map(([, id]) => id));
  if (used.size !== children.length || !children.every((id) => used.has(id))) {
    throw malformed('The names do not match the list of children.');
  }
  return names;
}
