import { describe, expect, it } from 'vitest';
import {
  arrayBody,
  holdChunkHeader,
  holdObject,
  makeObject,
  namesBody,
  readArrayBody,
  readNamesBody,
  readObject,
} from './objects.ts';
import { readVectors } from './recorded.ts';

const { cases, negatives } = readVectors('flower/objects.json');

describe('objects of the real library', () => {
  for (const { name, objects } of cases) {
    it(`${name}: are read, and written again byte for byte`, () => {
      for (const recorded of objects) {
        if (recorded.bytes_hex === undefined) continue;
        const bytes = Buffer.from(recorded.bytes_hex, 'hex');
        const object = readObject(bytes);
        expect(object.type).toBe(recorded.type);
        expect(bytes.toString('latin1', 0, object.headerLength - 1)).toBe(recorded.header);
        const body = rewritten(object.type, object.body, object.children);
        expect(makeObject(object.type, object.children, body)).toEqual({ id: recorded.object_id, bytes });
      }
    });
  }

  it('an array cut into chunks lists each distinct chunk once', () => {
    const { objects } = cases.find(({ name }: { name: string }) => name === 'array_chunked_repeats');
    const object = readObject(Buffer.from(objects.at(-1).bytes_hex, 'hex'));
    expect(object.children).toHaveLength(3);
    expect(readArrayBody(object.body, object.children).chunks).toEqual([0, 1, 1, 1, 2]);
  });
});

const rewritten = (type: string, body: Buffer, children: string[]): Buffer => {
  if (type === 'Array') return arrayBody(readArrayBody(body, children));
  if (type === 'ArrayRecord' || type === 'RecordDict') return namesBody(readNamesBody(body, children));
  return body;
};

describe('objects that must be refused', () => {
  for (const { name, bytes_hex: hex, reference_layout_check: reference } of negatives) {
    if (hex === undefined || reference !== 'rejected') continue;
    it(name, () => {
      expect(() => readObject(Buffer.from(hex, 'hex'))).toThrow(/OBJECT|layout/);
    });
  }

  const a = 'a'.repeat(64);
  it('a child listed twice', () => {
    expect(() => readObject(Buffer.from(`Array ${a},${a} 2\0{}`))).toThrow('A child is listed twice.');
  });
  it('upper-case ids, which nobody writes', () => {
    expect(() => readObject(Buffer.from(`Array ${a.toUpperCase()} 2\0{}`))).toThrow('lower-case');
  });
  it('a length with a sign, spaces or leading zeros', () => {
    for (const length of ['+2', ' 2', '02', '2 ', '2e0', '']) {
      expect(() => readObject(Buffer.from(`Array  ${length}\0{}`))).toThrow();
    }
  });
  it('an Array that uses a chunk it does not list, lists one it does not use, or counts wrongly', () => {
    const body = (chunks: unknown): Buffer =>
      Buffer.from(JSON.stringify({ dtype: '', shape: [], stype: 'numpy.ndarray', arraychunk_ids: chunks }));
    for (const chunks of [[1], [], [-1], [0.5], ['0'], '0', null, [0, 2]]) {
      expect(() => readArrayBody(body(chunks), [a])).toThrow();
    }
    expect(readArrayBody(body([0, 0]), [a]).chunks).toEqual([0, 0]);
  });
  it('names that do not match the children', () => {
    const b = 'b'.repeat(64);
    expect(() => readNamesBody(Buffer.from(`{"x": "${a}"}`), [b])).toThrow('do not match');
    expect(() => readNamesBody(Buffer.from(`{"x": "${a}"}`), [a, b])).toThrow('do not match');
    expect(() => readNamesBody(Buffer.from('{}'), [a])).toThrow('do not match');
  });
});

describe('what is kept of a passing object', () => {
  it('is the place of the data for a chunk, and a copy of the body for a record', () => {
    const chunk = makeObject('ArrayChunk', [], Buffer.alloc(1000, 7)).bytes;
    const held = { type: 'ArrayChunk', children: [], headerLength: 17, bodyLength: 1000, body: null };
    expect(holdObject(chunk)).toEqual(held);
    expect(holdChunkHeader(chunk.subarray(0, 40))).toEqual(held);
    const record = makeObject('ArrayRecord', [], Buffer.from('{}')).bytes;
    const { body } = holdObject(record);
    record.fill(0);
    expect(body?.toString()).toBe('{}');
    expect(holdChunkHeader(record)).toBeNull();
  });

  it('is refused with children where its type has none, and a Message with more than one', () => {
    const [one, two] = ['a'.repeat(64), 'b'.repeat(64)];
    const refused = expect.objectContaining({ code: 'OBJECT_MALFORMED' });
    for (const type of ['ArrayChunk', 'MetricRecord', 'ConfigRecord'] as const) {
      expect(() => holdObject(makeObject(type, [one], Buffer.alloc(0)).bytes)).toThrow(refused);
    }
    expect(() => holdObject(makeObject('Message', [one, two], Buffer.alloc(0)).bytes)).toThrow(refused);
    expect(holdObject(makeObject('Message', [one], Buffer.alloc(0)).bytes).children).toEqual([one]);
  });
});
