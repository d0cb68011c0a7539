import { describe, expect, it } from 'vitest';
import { qualityOf, weightedMeans } from './metrics.ts';
import { type ConfigEntry, flag, integer, real, type Scalar, text } from './scalar.ts';

let nodes = 0n;
const answer = (weight: number, metrics: Record<string, Scalar>, nodeId = ++nodes) => ({
  nodeId,
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

  it.each<[string, Scalar]>([
    ['NaN', real(Number.NaN)],
    ['Infinity', real(Number.POSITIVE_INFINITY)],
    ['-Infinity', reals(1, Number.NEGATIVE_INFINITY)],
  ])('leave %s of one node out, naming the node and the key, and count the others', (word, odd) => {
    const others = odd.kind === 'reals' ? [reals(1, 1), reals(5, 5)] : [real(1), real(5)];
    const { metrics, notes } = weightedMeans(
      [
        answer(7, { loss: odd, ok: real(1) }, 99n),
        answer(1, { loss: others[0] as Scalar, ok: real(1) }),
        answer(3, { loss: others[1] as Scalar, ok: real(1) }),
      ],
      'w',
    );
    expect(metrics).toEqual([
      { key: 'loss', value: odd.kind === 'reals' ? reals(4, 4) : real(4) },
      { key: 'ok', value: real(1) },
    ]);
    expect(notes).toEqual([`metric "loss" of node 99 left out: it is ${word}`]);
  });

  it('leave a metric out that no node has a finite value of, and tell only so much of it', () => {
    const odd = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`m${i}`, real(Number.NaN)]));
    const { metrics, notes } = weightedMeans([answer(1, odd)], 'w');
    expect(metrics).toEqual([]);
    expect(notes).toHaveLength(21);
    expect(notes.at(-1)).toBe('10 more metrics left out');
  });

  it('of empty lists are empty', () => {
    expect(weightedMeans([answer(1, { m: reals() })], 'w').metrics).toEqual([{ key: 'm', value: reals() }]);
  });
});

describe('loss and accuracy', () => {
  it.each<[string, Record<string, Scalar>, { loss: number | null; accuracy: number | null }]>([
    ['of the message API', { eval_loss: real(0.4), eval_acc: real(0.9) }, { loss: 0.4, accuracy: 0.9 }],
    ['of the older API', { loss: real(1.5), accuracy: integer(1) }, { loss: 1.5, accuracy: 1 }],
    ['of neither name', { lossless: real(1), accurate: real(1), f1: real(1) }, { loss: null, accuracy: null }],
    ['that are no number', { loss: real(Number.NaN), accuracy: reals(1) }, { loss: null, accuracy: null }],
  ])('%s', (_name, metrics, quality) => {
    expect(qualityOf(answer(1, metrics).metrics)).toEqual(quality);
  });
});
