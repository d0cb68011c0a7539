import { describe, expect, it } from 'vitest';
import { type Answer, canonicalAnswer } from './answer.ts';
import { integer, real } from './scalar.ts';

const answer: Answer = {
  tensors: [{ name: 'w', slices: [{ part: 'p', offset: 1, length: 2 }] }],
  metrics: [{ key: 'loss', value: real(0.5) }],
  weight: 3,
  runtimeSeconds: 1,
};

describe('the canonical answer', () => {
  it('is the same however long it took', () =>
    expect(canonicalAnswer({ ...answer, runtimeSeconds: 9 })).toBe(canonicalAnswer(answer)));

  it.each<[string, Partial<Answer>]>([
    ['another part', { tensors: [{ name: 'w', slices: [{ part: 'q', offset: 1, length: 2 }] }] }],
    ['another slice', { tensors: [{ name: 'w', slices: [{ part: 'p', offset: 2, length: 2 }] }] }],
    ['another metric', { metrics: [{ key: 'loss', value: real(0.25) }] }],
    ['a metric of another kind', { metrics: [{ key: 'loss', value: integer(1) }] }],
    ['another weight', { weight: 4 }],
    ['no weight', { weight: null }],
    ['a masked vector', { masked: [{ part: 'p', offset: 1, length: 2 }] }],
  ])('differs with %s', (_what, more) =>
    expect(canonicalAnswer({ ...answer, ...more })).not.toBe(canonicalAnswer(answer)),
  );

  it('tells NaN from infinity', () => {
    const of = (value: number) => canonicalAnswer({ ...answer, metrics: [{ key: 'loss', value: real(value) }] });
    expect(of(Number.NaN)).not.toBe(of(Number.POSITIVE_INFINITY));
  });
});
