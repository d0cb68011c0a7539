import { describe, expect, it } from 'vitest';
import { byteLists } from './byte-lists.ts';
import { holdObject, makeObject } from './objects.ts';
import { encodeConfigRecord } from './records.ts';

const record = encodeConfigRecord([
  { key: 'whole', value: { kind: 'integer', value: -7n } },
  { key: 'large', value: { kind: 'integer', value: 2n ** 64n - 1n } },
  { key: 'real', value: { kind: 'real', value: 0.5 } },
  { key: 'none', value: { kind: 'datas', value: [] } },
  { key: 'Vektor é', value: { kind: 'datas', value: [Buffer.from('one'), Buffer.alloc(0), Buffer.alloc(300, 7)] } },
  { key: 'one', value: { kind: 'data', value: Buffer.from('no list') } },
]);

describe('lists of bytes in a record', () => {
  it('are found where they lie, with what is beside them passed over', () => {
    const lists = byteLists(record);
    expect([...lists.keys()]).toEqual(['Vektor é']);
    const contents = lists.get('Vektor é')?.map(({ offset, length }) => record.subarray(offset, offset + length));
    expect(contents).toEqual([Buffer.from('one'), Buffer.alloc(0), Buffer.alloc(300, 7)]);
  });

  it('are refused, and read nothing beyond the end, wherever the record is cut off', () => {
    for (let length = 0; length < record.length; length += 1) {
      let found: ReturnType<typeof byteLists>;
      try {
        found = byteLists(record.subarray(0, length));
      } catch (error) {
        expect(error).toMatchObject({ code: 'OBJECT_MALFORMED' });
        continue;
      }
      for (const range of [...found.values()].flat()) expect(range.offset + range.length).toBeLessThanOrEqual(length);
    }
  });

  it('are refused when they are more than a reply may have slices', () => {
    const many = { kind: 'datas' as const, value: Array.from({ length: 200_001 }, () => Buffer.alloc(0)) };
    expect(() => byteLists(encodeConfigRecord([{ key: 'k', value: many }]))).toThrow(
      expect.objectContaining({ code: 'OBJECT_MALFORMED' }),
    );
  });

  it('are kept of a record that is too large to be held', () => {
    const value = [Buffer.alloc(17 * 1024 * 1024, 1), Buffer.from('end')];
    const object = makeObject(
      'ConfigRecord',
      [],
      encodeConfigRecord([{ key: 'masked_params', value: { kind: 'datas', value } }]),
    );
    const held = holdObject(object.bytes);
    expect(held.body).toBeNull();
    const last = held.lists?.get('masked_params')?.at(-1) ?? { offset: 0, length: 0 };
    const at = held.headerLength + last.offset;
    expect(object.bytes.subarray(at, at + last.length).toString()).toBe('end');
  });
});
