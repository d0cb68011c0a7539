import { describe, expect, it } from 'vitest';
import { renewalDue, retryAfter } from './renewal.ts';

const day = 86_400_000;
const week = { issuedAt: 0, notAfter: 7 * day };

describe('a renewal', () => {
  it.each([
    [week, (14 / 3) * day],
    [{ issuedAt: 100, notAfter: 400 }, 300],
    [{ issuedAt: 5, notAfter: 5 }, 5],
  ])('of %j is due when two thirds are over', (life, due) => {
    expect(renewalDue(life)).toBeCloseTo(due, 6);
  });

  it('that fails is tried again soon, later each time, at least once an hour', () => {
    const waits = Array.from({ length: 20 }, (_, failures) => retryAfter(week, 5 * day, failures, 0.5));
    expect(waits[0]).toBe(750);
    for (let at = 1; at < waits.length; at += 1) expect(waits[at]).toBeGreaterThanOrEqual(waits[at - 1] ?? 0);
    expect(waits.at(-1)).toBe(2_700_000);
    expect(retryAfter(week, 5 * day, 1_000_000, 0.999)).toBeLessThanOrEqual(3_600_000);
  });

  it('is never tried so late that nothing is left, and never without a pause', () => {
    for (const left of [day, 3_600_000, 60_000, 3_000]) {
      const wait = retryAfter(week, 7 * day - left, 30, 0.9);
      expect(wait).toBeLessThanOrEqual(Math.max(left / 2, 1_000));
      expect(wait).toBeGreaterThanOrEqual(1_000);
    }
    expect(retryAfter(week, 8 * day, 30, 0)).toBe(1_000);
  });

  it('is spread by chance', () => {
    const [low, high] = [0, 0.999].map((chance) => retryAfter(week, 5 * day, 20, chance)) as [number, number];
    expect(low).toBe(1_800_000);
    expect(high).toBeGreaterThan(3_500_000);
  });
});
