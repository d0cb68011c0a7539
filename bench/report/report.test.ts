import { describe, expect, it } from 'vitest';
import type { FigureSpec } from '../figures/contract.ts';
import { type FigureResult, merge, resultsText } from './results.ts';
import { shortfalls, standingOf } from './verdict.ts';

const spec = (id: string, sense: 'cost' | 'rate', limit: FigureSpec['must']['limit']): FigureSpec => ({
  id,
  unit: 'u',
  sense,
  must: { text: 'so much', limit },
  aim: '',
  meaning: '',
  shortfall: 'Because.',
});
const figure = (id: string, aegis: number | null, peer: number | null = null): FigureResult => ({
  id,
  aegis,
  peer,
  ratio: null,
  unit: 'u',
  note: '',
  date: '',
  machine: 'm',
  commit: '',
});

describe('a verdict', () => {
  it('compares a cost with the most, a rate with the least that is good enough', () => {
    expect(
      standingOf(
        spec('a', 'cost', () => 10),
        figure('a', 10),
      ).text,
    ).toBe('met');
    expect(
      standingOf(
        spec('a', 'cost', () => 10),
        figure('a', 11),
      ).text,
    ).toBe('**missed by 10 %**');
    expect(
      standingOf(
        spec('a', 'rate', () => 10),
        figure('a', 10),
      ).text,
    ).toBe('met');
    expect(
      standingOf(
        spec('a', 'rate', () => 10),
        figure('a', 5),
      ).text,
    ).toBe('**missed by 50 %**');
  });

  it('takes a limit from what the peer reached', () => {
    const ratio = spec('a', 'cost', (peer) => peer && peer / 2);
    expect(standingOf(ratio, figure('a', 6, 10)).met).toBe(false);
    expect(standingOf(ratio, figure('a', 5, 10)).met).toBe(true);
  });

  it('misses a limit of nothing by the number itself', () => {
    expect(
      standingOf(
        spec('a', 'cost', () => 0),
        figure('a', 3),
      ).text,
    ).toBe('**missed by 3**');
  });
});

describe('what falls short', () => {
  it('is named with its reason, and so is what nobody measured; what is met is not', () => {
    const specs = ['good', 'bad', 'new'].map((id) => spec(id, 'cost', () => 1));
    const figures = new Map([
      ['good', figure('good', 1)],
      ['bad', figure('bad', 2)],
    ]);
    expect(shortfalls(specs, figures)).toEqual([
      '`bad` missed by 100 %: 2 u, must so much. Because.',
      '`new` was not measured yet.',
    ]);
  });
});

describe('the results file', () => {
  it('replaces the figures of a run and keeps the others in their order', () => {
    const old = { machine: 'old', figures: [figure('a', 1), figure('b', 1)] };
    const merged = merge(old, 'new', [figure('c', 2), figure('a', 2)]);
    expect(merged.figures.map(({ id, aegis }) => [id, aegis])).toEqual([
      ['a', 2],
      ['b', 1],
      ['c', 2],
    ]);
  });

  it('reads back as it was written, a point to a line', () => {
    const points = { aegis: { memory: [[20, 1.5] as [number, number], [200, 2] as [number, number]] }, peer: {} };
    const results = { machine: 'm', figures: [{ ...figure('a', 1), points }] };
    const text = resultsText(results);
    expect(JSON.parse(text)).toEqual(results);
    expect(text).toContain('[20, 1.5],\n');
  });
});
