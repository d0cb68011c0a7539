import { describe, expect, it } from 'vitest';
import { decodeDocument, encodeDocument } from './document-text.ts';

describe('document text', () => {
  it('keeps what JSON has not', () => {
    const value = {
      id: 2n ** 64n - 1n,
      bytes: Buffer.from([0, 255]),
      nan: Number.NaN,
      infinite: [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
      map: new Map<string, unknown>([['k', { id: 1n }]]),
      nothing: null,
      text: '$int',
      list: [1, 'a', true],
    };
    expect(decodeDocument(encodeDocument(value))).toEqual(value);
  });

  it('takes any view of bytes', () => {
    const view = Buffer.from('xxabcx').subarray(2, 5);
    expect(decodeDocument<{ v: Buffer }>(encodeDocument({ v: new Uint8Array(view) })).v.toString()).toBe('abc');
  });

  it('refuses a document of a later release', () => {
    expect(() => decodeDocument(Buffer.from('{"schema":2,"value":1}'))).toThrow('schema 2');
  });
});
