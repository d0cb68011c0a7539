import { describe, expect, it } from 'vitest';
import { SeenCalls } from './seen-calls.ts';

const start = Date.parse('2026-11-26T12:00:00Z');
/** `after`: milliseconds, fractions too. */
const stamp = (after: number): string => {
  const whole = Math.floor(after);
  const micros = String(Math.round((after - whole) * 1000)).padStart(3, '0');
  return new Date(start + whole).toISOString().replace('Z', `${micros}+00:00`);
};

describe('calls that were seen', () => {
  const noteAt = (seen: SeenCalls, ms: number) => (key: string, timestamp: string) =>
    seen.note(key, timestamp, start + ms, 5_000 + ms);

  it('count once for a key, to the microsecond', () => {
    const note = noteAt(new SeenCalls(), 0);
    note('a', stamp(0));
    note('a', stamp(0.001));
    note('a', stamp(-300_000));
    note('b', stamp(0));
    for (const timestamp of [stamp(0), stamp(0.001), stamp(-300_000)])
      expect(() => note('a', timestamp)).toThrow(expect.objectContaining({ code: 'NODE_REPLAYED' }));
  });

  it('are known in every form of the same time', () => {
    const note = noteAt(new SeenCalls(), 0);
    note('a', '2026-11-26T12:00:00.500000+00:00');
    for (const same of ['2026-11-26T12:00:00.5Z', '2026-11-26T12:00:00.500000000+00:00'])
      expect(() => note('a', same)).toThrow(expect.objectContaining({ code: 'NODE_REPLAYED' }));
  });

  it('stay known for as long as their timestamp could be accepted, wherever in a page they came', () => {
    for (const cameAt of [0, 1, 150_000, 309_999, 310_000, 310_001, 500_000]) {
      for (const later of [1, 4_999, 154_000, 305_000, 309_999]) {
        const seen = new SeenCalls();
        noteAt(seen, 0)('other', stamp(0));
        // five seconds ahead: it may be accepted for the longest
        const timestamp = stamp(cameAt + 4_999);
        noteAt(seen, cameAt)('a', timestamp);
        noteAt(seen, cameAt + later / 2)('other', stamp(cameAt + later / 2));
        expect(() => noteAt(seen, cameAt + later)('a', timestamp), `${cameAt} ${later}`).toThrow(
          expect.objectContaining({ code: 'NODE_REPLAYED' }),
        );
      }
    }
  });

  it('are forgotten afterwards, and take no room any more', () => {
    const seen = new SeenCalls({ together: 3, ofOneKey: 3 });
    for (let round = 0; round < 10; round += 1) {
      for (const call of [0, 1, 2]) noteAt(seen, round * 700_000)('a', stamp(round * 700_000 + call));
    }
  });

  it('that could not be told apart later are put off', () => {
    const seen = new SeenCalls({ together: 3, ofOneKey: 2 });
    const note = noteAt(seen, 0);
    note('a', stamp(0));
    note('a', stamp(1));
    expect(() => note('a', stamp(2))).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
    note('b', stamp(0));
    expect(() => note('c', stamp(0))).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
  });
});
