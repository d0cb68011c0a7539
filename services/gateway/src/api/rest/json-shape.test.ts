import { describe, expect, it } from 'vitest';
import { checkJsonShape } from './json-shape.ts';

const refusal = (text: string): string => {
  try {
    checkJsonShape(Buffer.from(text));
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};
const list = (items: number, item = '0'): string => `[${Array(items).fill(item).join(',')}]`;

describe('the shape of a body', () => {
  it('is bounded in each list, in each object and together', () => {
    expect(refusal(list(100_000))).toBe('');
    expect(refusal(list(100_001))).toContain('more than 100000 items in a list');
    const members = (count: number): string => `{${Array(count).fill('"a":0').join(',')}}`;
    expect(refusal(members(10_000))).toBe('');
    expect(refusal(members(10_001))).toContain('more than 10000 members in an object');
    expect(refusal(list(3, list(99_998)))).toBe('');
    expect(refusal(list(4, list(99_998)))).toContain('more than 300000 values');
  });

  it('is bounded in depth', () => {
    expect(refusal('[[[[[]]]],[[[[]]]]]')).toBe('');
    expect(refusal('[[[[[[')).toContain('more than 5 deep');
  });

  it('does not depend on what texts say, however they are quoted', () => {
    const text = JSON.stringify([`"\\${'[{,'.repeat(200_000)}`, '\\', 1]);
    expect(refusal(text)).toBe('');
    expect(refusal('["no end\\')).toBe('');
  });

  it('lets the densest manifest of 4 MiB pass', () => {
    const one = JSON.stringify({ name: '', slices: [{ sha256: 'a'.repeat(64), offset: 0, length: 1 }] });
    expect(refusal(`{"tensors":${list(Math.floor(2 ** 22 / (one.length + 1)), one)}}`)).toBe('');
  });
});
