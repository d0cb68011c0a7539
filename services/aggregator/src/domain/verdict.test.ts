import { describe, expect, it } from 'vitest';
import type { Answer } from './answer.ts';
import { integer, real } from './scalar.ts';
import { judgeAnswer, judgeMasking, judgeSize } from './verdict.ts';

const tensor = (name: string) => ({ name, slices: [] });
const answer = (more: Partial<Answer> = {}): Answer => ({
  tensors: [tensor('w'), tensor('b')],
  metrics: [{ key: 'num-examples', value: integer(3) }],
  weight: 3,
  runtimeSeconds: 1,
  ...more,
});
const judge = (more: Partial<Answer>, kind: 'train' | 'evaluate' | 'initial-model' = 'train') =>
  judgeAnswer(kind, answer(more), ['w', 'b'], 'num-examples');

describe('the verdict on an answer', () => {
  it("accepts the model's tensors in any order", () =>
    expect(judge({ tensors: [tensor('b'), tensor('w')] })).toEqual({ accepted: true }));
  it('accepts an evaluation without tensors', () =>
    expect(judge({ tensors: [] }, 'evaluate')).toEqual({ accepted: true }));
  it('accepts a first model of any names, without a weight', () => {
    expect(judge({ tensors: [tensor('0')], weight: null }, 'initial-model')).toEqual({ accepted: true });
  });

  it.each<[string, Partial<Answer>, string, string]>([
    ['no weight', { weight: null }, 'UPDATE_WEIGHT', '"num-examples"'],
    ['weight 0', { weight: 0 }, 'UPDATE_WEIGHT', 'is 0'],
    ['a negative weight', { weight: -4 }, 'UPDATE_WEIGHT', 'is -4'],
    ['a weight that is no number', { weight: Number.NaN }, 'UPDATE_WEIGHT', 'is NaN'],
    ['an infinite weight', { weight: Number.POSITIVE_INFINITY }, 'UPDATE_WEIGHT', 'absurd'],
    ['an absurd weight', { weight: 2 ** 54 }, 'UPDATE_WEIGHT', 'absurd'],
    ['a missing tensor', { tensors: [tensor('w')] }, 'UPDATE_TENSORS', '"b" is missing'],
    ['an extra tensor', { tensors: [tensor('w'), tensor('b'), tensor('c')] }, 'UPDATE_TENSORS', '"c" is not one'],
    ['a renamed tensor', { tensors: [tensor('w'), tensor('B')] }, 'UPDATE_TENSORS', '"B" is not one'],
    ['a tensor twice', { tensors: [tensor('w'), tensor('w')] }, 'UPDATE_TENSORS', '"w" is there twice'],
    [
      'a metric twice',
      {
        metrics: [
          { key: 'a', value: real(1) },
          { key: 'a', value: real(2) },
        ],
      },
      'UPDATE_METRICS',
      '"a" is there twice',
    ],
    [
      'endless metrics',
      { metrics: Array.from({ length: 1001 }, (_, i) => ({ key: String(i), value: real(i) })) },
      'UPDATE_METRICS',
      '1001',
    ],
    [
      'endless lists',
      { metrics: [{ key: 'a', value: { kind: 'reals', value: new Array(100_001).fill(0) } }] },
      'UPDATE_METRICS',
      '100000',
    ],
  ])('refuses %s', (_what, more, code, detail) => {
    expect(judge(more)).toEqual({ accepted: false, code, detail: expect.stringContaining(detail) });
  });

  it('does not look at arrays of an evaluation', () => expect(judge({}, 'evaluate')).toEqual({ accepted: true }));
  it('refuses a first model that is empty', () =>
    expect(judge({ tensors: [] }, 'initial-model')).toMatchObject({ code: 'UPDATE_TENSORS' }));

  it('refuses values that a double cannot hold once weighted', () => {
    expect(judgeSize(1e300, 10)).toEqual({ accepted: true });
    expect(judgeSize(1e300, 1e10)).toMatchObject({ accepted: false, code: 'UPDATE_NOT_FINITE' });
  });
});

describe('a masked task', () => {
  const masked = [{ part: 'p', offset: 0, length: 1 }];
  const alone: Answer = { tensors: [], metrics: [], weight: null, runtimeSeconds: 1, masked };

  it('is answered by a vector, and nothing beside it', () => {
    expect(judgeMasking(true, alone)).toEqual({ accepted: true });
    for (const beside of [{ tensors: [tensor('w')] }, { metrics: answer().metrics }, { weight: 0 }])
      expect(judgeMasking(true, { ...alone, ...beside })).toMatchObject({ code: 'ANSWER_NOT_MASKED' });
    expect(judgeMasking(true, answer())).toMatchObject({ code: 'ANSWER_NOT_MASKED' });
  });

  it('is the only one that is', () => {
    expect(judgeMasking(false, answer())).toEqual({ accepted: true });
    expect(judgeMasking(false, alone)).toMatchObject({ code: 'ANSWER_NOT_MASKED' });
  });
});
