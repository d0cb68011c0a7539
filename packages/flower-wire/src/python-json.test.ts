import { describe, expect, it } from 'vitest';
import { parseStringMap, pythonString, pythonStringMap } from './python-json.ts';

describe('JSON as Python writes it', () => {
  it('escapes everything outside printable ASCII', () => {
    expect(pythonString('métrique/1')).toBe('"m\\u00e9trique/1"');
    expect(pythonString('\u007f\u2028😀"\\\n\u0001')).toBe('"\\u007f\\u2028\\ud83d\\ude00\\"\\\\\\n\\u0001"');
  });

  it('keeps names in order and apart', () => {
    const entries: [string, string][] = [
      ['10', 'a'],
      ['2', 'b'],
      ['__proto__', 'c'],
      ['', 'd'],
      ['é"\\', 'e'],
    ];
    expect(pythonStringMap(entries.slice(0, 2))).toBe('{"10": "a", "2": "b"}');
    expect(parseStringMap(pythonStringMap(entries))).toEqual(entries);
    expect(parseStringMap(' {\n"a":"b" ,"c" : "d"}\t')).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
    expect(parseStringMap('{}')).toEqual([]);
  });

  it('refuses everything else', () => {
    const bad = ['', '{', '{"a"}', '{"a":1}', '{"a":"b",}', '{"a":"b"}x', '[]', '{"a":"b","a":"c"}', '{"a":"\\q"}'];
    for (const text of [...bad, '{"a":"\n"}', '{"a":"b', '{"a":"\\', '{a:"b"}', '{"a":{}}', 'null']) {
      expect(() => parseStringMap(text), text).toThrow(expect.objectContaining({ code: 'OBJECT_MALFORMED' }));
    }
  });

  it('reads a very long string without giving up', () => {
    const long = 'x'.repeat(3_000_000);
    expect(parseStringMap(`{"a": "${long}"}`)).toEqual([['a', long]]);
  });
});
