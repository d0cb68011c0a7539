import { expect, it } from 'vitest';
import { TokenBucket } from './token-bucket.ts';

it('lets a burst through, then its rate, and never saves up more than a burst', () => {
  const bucket = new TokenBucket({ perSecond: 2, burst: 3 }, 1_000);
  const taken = (at: number, times: number) => Array.from({ length: times }, () => bucket.take(at));
  expect(taken(1_000, 4)).toEqual([true, true, true, false]);
  expect(taken(1_499, 1)).toEqual([false]);
  expect(taken(1_500, 2)).toEqual([true, false]);
  expect(taken(2_500, 3)).toEqual([true, true, false]);
  expect(taken(3_600_000, 4)).toEqual([true, true, true, false]);
});
