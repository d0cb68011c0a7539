import { describe, expect, it } from 'vitest';
import {
  convertScalar,
  flag,
  integer,
  mergeEntries,
  real,
  type Scalar,
  sameScalar,
  showScalar,
  text,
} from './scalar.ts';

describe('scalars', () => {
  it.each<[Scalar, string]>([
    [real(1), '1.0'],
    [real(0.5), '0.5'],
    [integer(1), '1'],
    [flag(true), 'true'],
    [text('a"b'), '"a\\"b"'],
    [{ kind: 'data', value: new Uint8Array(3) }, '<3 bytes>'],
    [{ kind: 'datas', value: [new Uint8Array(3)] }, '<1 byte strings>'],
    [{ kind: 'integers', value: [1n, 2n] }, '[1, 2]'],
  ])('are shown to people: %o', (scalar, shown) => expect(showScalar(scalar)).toBe(shown));

  it('are the same only in kind and value', () => {
    expect(sameScalar(real(1), integer(1))).toBe(false);
    expect(sameScalar(text('a'), text('a'))).toBe(true);
    expect(sameScalar({ kind: 'data', value: Uint8Array.of(1) }, { kind: 'data', value: Uint8Array.of(2) })).toBe(
      false,
    );
    expect(sameScalar({ kind: 'texts', value: ['a,b'] }, { kind: 'texts', value: ['a', 'b'] })).toBe(false);
  });

  it('convert when nothing is lost', () => {
    expect(convertScalar(integer(2), 'real')).toEqual(real(2));
    expect(convertScalar(real(2), 'integer')).toEqual(integer(2));
    expect(convertScalar(real(2.5), 'integer')).toBeNull();
    expect(convertScalar(text('2'), 'integer')).toBeNull();
  });

  it('merge in place, new keys last', () => {
    const merged = mergeEntries(
      [
        { key: 'a', value: real(1) },
        { key: 'b', value: real(2) },
      ],
      [
        { key: 'c', value: real(3) },
        { key: 'a', value: real(4) },
      ],
    );
    expect(merged.map(({ key, value }) => `${key}${showScalar(value)}`)).toEqual(['a4.0', 'b2.0', 'c3.0']);
  });
});
