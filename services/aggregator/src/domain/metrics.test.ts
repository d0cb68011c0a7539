import { describe, expect, it } from 'vitest';
import { weightedMeans } from './metrics.ts';
import { type ConfigEntry, flag, integer, real, type Scalar, text } from './scalar.ts';

const answer = (weight: number, metrics: Record<string, Scalar>) => ({
  weight,
  metrics: Object.entries(metrics).map(([key, value]): ConfigEntry => ({ key, value })),
});
const reals = (...value: number[]): Scalar => ({ kind: 'reals', value });
const integers = (...value: bigint[]): Scalar => ({ kind: 'integers', value });

describe('weighted means', () => {
  it('weigh numbers by the key, integers as reals, and drop the key itself', () => {
    const { metrics, notes } = weightedMeans(
      [
        answer(1, { loss: real(1), n: integer(2), 'num-examples': integer(1) }),
        answer(3, { loss: real(5), n: integer(6), 'num-examples': integer(3) }),
      ],
      'num-examples',
    );
    expect(metrics).toEqual([
      { key: 'loss', value: real(4) },
      { key: 'n', value: real(5) },
    ]);
    expect(notes).toEqual([]);
  });

  it('take lists element by element', () => {
    const { metrics } = weightedMeans(
      [answer(1, { a: reals(0, 4), b: integers(1n) }), answer(1, { a: reals(2, 0), b: integers(2n) })],
      'w',
    );
    expect(metrics).toEqual([
      { key: 'a', value: reals(1, 2) },
      { key: 'b', value: reals(1.5) },
    ]);
  });

  it.each<[string, Scalar | null, Scalar, string]>([
    ['a node did not report it', null, real(1), '1 of 2 nodes did not report it'],
    ['lists differ in length', reals(1, 2), reals(1), 'differ in length (2 and 1)'],
    ['one is a list', reals(1), real(1), 'some nodes report a list'],
    ['it is a text', text('x'), text('y'), 'it is text'],
    ['it is a flag', flag(true), flag(false), 'it is flag'],
  ])('leave a metric out when %s, and say so', (_what, first, second, reason) => {
    const { metrics, notes } = weightedMeans(
      [answer(1, first === null ? {} : { m: first, ok: real(1) }), answer(1, { m: second, ok: real(3) })],
      'w',
    );
    expect(metrics.filter((metric) => metric.key === 'm')).toEqual([]);
    expect(notes.find((note) => note.includes('"m"'))).toContain(reason);
  });

  it('keep what is not finite, as Flower does', () => {
    const { metrics } = weightedMeans([answer(1, { loss: real(Number.NaN) }), answer(1, { loss: real(1) })], 'w');
    expect(metrics).toEqual([{ key: 'loss', value: real(Number.NaN) }]);
  });

  it('of empty lists are empty', () => {
    expect(weightedMeans([answer(1, { m: reals() })], 'w').metrics).toEqual([{ key: 'm', value: reals() }]);
  });
});
