import { describe, expect, it } from 'vitest';
import { TokenBucket } from './token-bucket.ts';

describe('a bucket of tokens', () => {
  it('lets a burst through, then its rate, and never saves up more than a burst', () => {
    const bucket = new TokenBucket({ perSecond: 2, burst: 3 }, 1_000);
    const taken = (at: number, times: number) => Array.from({ length: times }, () => bucket.take(at));
    expect(taken(1_000, 4)).toEqual([true, true, true, false]);
    expect(taken(1_499, 1)).toEqual([false]);
    expect(taken(1_500, 2)).toEqual([true, false]);
    expect(taken(2_500, 3)).toEqual([true, true, false]);
    expect(taken(3_600_000, 4)).toEqual([true, true, true, false]);
  });

  it('goes into debt for what was used already, by a burst at most, and takes back no more than a burst', () => {
    const bucket = new TokenBucket({ perSecond: 1, burst: 4 }, 0);
    bucket.spend(0, 100);
    expect(bucket.left(0)).toBe(-4);
    expect([bucket.take(4_900), bucket.take(5_000)]).toEqual([false, true]);
    bucket.spend(5_000, -100);
    expect(bucket.left(5_000)).toBe(4);
    expect(bucket.isFull(5_000)).toBe(true);
  });

  it('says how long to wait for what it does not have', () => {
    const bucket = new TokenBucket({ perSecond: 4, burst: 8 }, 0);
    expect(bucket.waitMs(0, 8)).toBe(0);
    bucket.take(0, 8);
    expect([bucket.waitMs(0), bucket.waitMs(100, 2)]).toEqual([250, 400]);
  });

  it('follows a rate that changes', () => {
    const rate = { perSecond: 10, burst: 10 };
    const bucket = new TokenBucket(rate, 0);
    Object.assign(rate, { perSecond: 1, burst: 2 });
    expect([bucket.take(0, 2), bucket.take(0), bucket.take(1_000)]).toEqual([true, false, true]);
  });
});
