import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeObject } from './objects.ts';
import { readVectors } from './recorded.ts';
import {
  type ConfigEntry,
  decodeConfigRecord,
  decodeMetricRecord,
  encodeConfigRecord,
  encodeMetricRecord,
  fromWireScalar,
  type Scalar,
  toWireScalar,
} from './records.ts';

const { cases } = readVectors('flower/recorddict.json');

interface VectorValue {
  int?: string;
  float?: string;
  shown?: string;
  bool?: boolean;
  string?: string;
  bytes_hex?: string;
  list?: VectorValue[];
}

const real = (shown: string): number => Number(shown.replace(/^(-?)inf$/, '$1Infinity').replace(/^nan$/, 'NaN'));

const scalarOf = (value: VectorValue): Scalar => {
  if (value.int !== undefined) return { kind: 'integer', value: BigInt(value.int) };
  if (value.float !== undefined) return { kind: 'real', value: real(value.shown ?? '') };
  if (value.bool !== undefined) return { kind: 'flag', value: value.bool };
  if (value.string !== undefined) return { kind: 'text', value: value.string };
  if (value.bytes_hex !== undefined) return { kind: 'data', value: Buffer.from(value.bytes_hex, 'hex') };
  const items = (value.list ?? []).map(scalarOf);
  const kind = items[0] === undefined ? 'flags' : (`${items[0].kind}s` as 'reals');
  return { kind, value: items.map((item) => item.value) } as Scalar;
};

describe('records of the real library', () => {
  for (const { name, record, entries, body_hex: hex, object_id: id } of cases) {
    if (record !== 'MetricRecord' && record !== 'ConfigRecord') continue;
    it(`${name}: are written byte for byte, and read back with the same types`, () => {
      const ours: ConfigEntry[] = entries.map(({ key, value }: { key: string; value: VectorValue }) => ({
        key,
        value: scalarOf(value),
      }));
      const body = record === 'MetricRecord' ? encodeMetricRecord(ours) : encodeConfigRecord(ours);
      expect(body.toString('hex')).toBe(hex);
      if (id !== undefined) expect(makeObject(record, [], body).id).toBe(id);
      const again = record === 'MetricRecord' ? decodeMetricRecord(body) : decodeConfigRecord(body);
      const emptyKind = record === 'MetricRecord' ? 'reals' : 'flags';
      const expected = ours.map(({ key, value }) => ({
        key,
        value: Array.isArray(value.value) && value.value.length === 0 ? { kind: emptyKind, value: [] } : value,
      }));
      expect(again).toEqual(expected);
    });
  }
});

describe('scalars', () => {
  it('refuse integers beyond 64 bits, and lists that mix huge and negative ones', () => {
    const encode = (value: Scalar): Buffer => encodeConfigRecord([{ key: 'k', value }]);
    expect(() => encode({ kind: 'integer', value: 2n ** 64n })).toThrow('does not fit 64 bits');
    expect(() => encode({ kind: 'integer', value: -(2n ** 63n) - 1n })).toThrow('does not fit 64 bits');
    expect(() => encode({ kind: 'integers', value: [2n ** 63n, -1n] })).toThrow('does not fit 64 bits');
  });

  it('refuse what a MetricRecord cannot hold', () => {
    expect(() => encodeMetricRecord([{ key: 'k', value: { kind: 'text', value: 'x' } }])).toThrow('cannot hold "k"');
  });

  it('refuse an entry without a value', () => {
    expect(() => decodeConfigRecord(Buffer.from('0a030a016b', 'hex'))).toThrow('no value under "k"');
  });

  it('come back from a record as they went in', () => {
    const single = fc.oneof(
      fc.double().map((value) => ({ kind: 'real', value }) as Scalar),
      fc.bigInt(-(2n ** 63n), 2n ** 64n - 1n).map((value) => ({ kind: 'integer', value }) as Scalar),
      fc.boolean().map((value) => ({ kind: 'flag', value }) as Scalar),
      fc.string({ unit: 'grapheme' }).map((value) => ({ kind: 'text', value }) as Scalar),
      fc.uint8Array().map((value) => ({ kind: 'data', value: Buffer.from(value) }) as Scalar),
    );
    const entry = fc.record({ key: fc.string(), value: single });
    fc.assert(
      fc.property(fc.array(entry), (entries) => {
        expect(decodeConfigRecord(encodeConfigRecord(entries))).toEqual(entries);
        for (const one of entries) expect(fromWireScalar(one.key, toWireScalar(one))).toEqual(one);
      }),
      { seed: 7, numRuns: 300 },
    );
  });
});
