import { SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
import { AegisError } from '@aegis/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MOST_ANSWER_BYTES, readSaid, readStage } from './answers.ts';

const hex = (bytes: number) => 'a1'.repeat(bytes);
const honest = {
  advertise: {
    advert: {
      ...{ node: '18446744073709551615', channelKey: hex(32), maskKey: hex(32), expires: '1800000000' },
      signature: hex(64),
    },
    certificate: '-----BEGIN CERTIFICATE-----',
  },
  share: { node: '7', shares: [{ peer: '8', sealed: hex(124) }] },
  confirm: { node: '7', survivors: hex(32), model: hex(32), signature: hex(70) },
  unmask: { node: '7', seeds: [{ of: '8', share: hex(48) }], keys: [{ of: '9', share: hex(48) }] },
} as const;
type Stage = keyof typeof honest;
const kinds = Object.keys(honest) as Stage[];
const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const codeOf = (work: () => unknown): string => {
  try {
    work();
    return '';
  } catch (error) {
    return AegisError.from(error).code;
  }
};

describe('an answer', () => {
  it.each(kinds)('to the stage %s is read as it is, and nothing else in its place', (stage) => {
    expect(readSaid(stage, bytesOf(honest[stage]))).toMatchObject({ stage });
    for (const other of kinds.filter((kind) => kind !== stage)) {
      expect(codeOf(() => readSaid(other, bytesOf(honest[stage])))).toBe('SECAGG_ANSWER');
    }
    expect(codeOf(() => readSaid(stage, bytesOf({ ...honest[stage], more: 1 })))).toBe('SECAGG_ANSWER');
    expect(codeOf(() => readSaid('mask', bytesOf(honest[stage])))).toBe('SECAGG_ANSWER');
  });

  it('that is empty says nothing', () => {
    for (const stage of [...kinds, 'mask'] as const) expect(readSaid(stage, Buffer.alloc(0))).toBeNull();
  });

  it('tells by its place alone what was wrong: the text may hold shares', () => {
    const secret = `${hex(47)}zz`;
    const wrong = { ...honest.unmask, seeds: [{ of: '8', share: secret }] };
    expect(() => readSaid('unmask', bytesOf(wrong))).toThrow(
      expect.objectContaining({ detail: 'Not of its form at "seeds.0.share".' }),
    );
  });

  it('is SECAGG_ANSWER or what it seems to be, whatever the bytes are', () => {
    const damage = fc.record({ kind: fc.constantFrom(...kinds), at: fc.nat(400), to: fc.nat(255), cut: fc.nat(600) });
    fc.assert(
      fc.property(damage, ({ kind, at, to, cut }) => {
        const bytes = Buffer.from(bytesOf(honest[kind]).subarray(0, Math.max(cut, 1)));
        if (at < bytes.length) bytes[at] = to;
        expect(['', 'SECAGG_ANSWER']).toContain(codeOf(() => readSaid(kind, bytes)));
      }),
      { numRuns: 3_000 },
    );
    fc.assert(
      fc.property(fc.constantFrom(...kinds), fc.json(), (kind, text) => {
        expect(codeOf(() => readSaid(kind, Buffer.from(text)))).toBe('SECAGG_ANSWER');
      }),
      { numRuns: 1_000 },
    );
  });

  it('that is too long is not even parsed', () => {
    expect(codeOf(() => readSaid('share', Buffer.alloc(MOST_ANSWER_BYTES + 1, '[')))).toBe('SECAGG_ANSWER');
    const shares = Array.from({ length: 999 }, (_, at) => ({
      peer: String(18446744073709551615n - BigInt(at)),
      sealed: hex(124),
    }));
    const largest = bytesOf({ node: '18446744073709551615', shares });
    expect(largest.length).toBeLessThan(MOST_ANSWER_BYTES);
    expect(readSaid('share', largest)).toMatchObject({ stage: 'share' });
  });
});

describe('a stage', () => {
  it('is one of five', () => {
    expect([1, 2, 3, 4, 5].map((stage) => readStage(stage as SecaggStage))).toEqual([
      ...['advertise', 'share', 'mask', 'confirm', 'unmask'],
    ]);
    for (const none of [SecaggStage.UNSPECIFIED, 6, -1]) {
      expect(codeOf(() => readStage(none as SecaggStage))).toBe('SECAGG_ANSWER');
    }
  });
});
