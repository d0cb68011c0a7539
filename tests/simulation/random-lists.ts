import { describe, expect, it } from 'vitest';
import { hunt } from './hunt.ts';

const LISTS_PER_TEST = 500;

/** Tests over the lists of `count` seeds; the same ones each time, so that a failure is there the next time too. */
export function testRandomLists(firstSeed: number, count: number): void {
  describe('whatever happens to a run, every rule holds', () => {
    for (let first = firstSeed; first < firstSeed + count; first += LISTS_PER_TEST) {
      it(`in ${LISTS_PER_TEST} random lists from seed ${first}`, { timeout: 600_000 }, async () => {
        const { lists, takeovers, ends } = await hunt(first, LISTS_PER_TEST);
        expect(lists).toBe(LISTS_PER_TEST);
        // lists that only ever break everything would prove little
        expect(ends.get('completed')).toBeGreaterThan(LISTS_PER_TEST / 2);
        expect(takeovers).toBeGreaterThan(LISTS_PER_TEST / 4);
      });
    }
  });
}
