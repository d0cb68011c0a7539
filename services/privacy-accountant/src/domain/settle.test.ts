import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Charges, minus, plus, readEvents } from './charges.ts';
import { isMilder } from './coverage.ts';
import { netChange, settle } from './settle.ts';

const event = (noise: number, mechanism = 'gaussian'): string =>
  [
    ...readEvents([JSON.stringify({ mechanism, 'noise-multiplier': noise, relation: 'zero-out' })], 'node').keys(),
  ][0] as string;
const bag = (...noises: number[]): Charges =>
  noises.reduce((sum: Charges, noise) => plus(sum, new Map([[event(noise), 1]])), new Map());

describe('what is charged once it is known what happened', () => {
  it.each([
    ['as reserved', [10, 10], [10, 10], [10, 10]],
    ['more noise', [10], [12], [12]],
    ['less noise', [10], [8], [8]],
    ['an event that did not happen stays', [10, 20], [10], [10, 20]],
    ['the nearest with no more noise is replaced', [5, 10, 20], [15], [5, 15, 20]],
    ['an event beyond those reserved comes on top', [10], [10, 10], [10, 10]],
  ])('%s', (_what, reserved, actual, charged) => {
    expect(new Map(settle(bag(...reserved), bag(...actual)))).toEqual(new Map(bag(...charged)));
  });

  it('adds an event of another mechanism', () => {
    const clip = new Map([[event(3, 'laplace'), 2]]);
    expect(settle(bag(10), clip)).toEqual(plus(bag(10), clip));
  });

  it('always covers what happened, and is what was reserved when that is what happened', () => {
    const bags = fc
      .array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 8 })
      .map((noises) => bag(...noises));
    fc.assert(
      fc.property(bags, bags, (reserved, actual) => {
        const charged = settle(reserved, actual);
        expect(minus(charged, actual)).toBeDefined();
        expect(new Map(settle(reserved, reserved))).toEqual(new Map(reserved));
        const { add, remove } = netChange(reserved, charged);
        expect(new Map(plus(minus(reserved, remove) ?? new Map(), add))).toEqual(new Map(charged));
        // at least as many events as before
        const size = (of: Charges): number => [...of.values()].reduce((sum, count) => sum + count, 0);
        expect(size(charged)).toBe(Math.max(size(reserved), size(actual)));
      }),
    );
  });

  it('takes the shares of more nodes than were reserved for as more noise, and those of fewer as less', () => {
    const shares = (parties: number, noise: number, sigma = 40): Charges => {
      const mechanism = { mechanism: 'distributed-discrete-gaussian', 'local-grid-sigma': sigma, parties };
      const rest = { dimension: 10, 'grid-l1': 9, 'noise-multiplier': noise, relation: 'zero-out' };
      return readEvents([JSON.stringify({ ...mechanism, ...rest })], 'node');
    };
    const [few, many] = [shares(3, 1), shares(12, 2)];
    expect(new Map(settle(few, many))).toEqual(new Map(many));
    expect(isMilder({ add: many, remove: few })).toBe(true);
    expect(isMilder({ add: few, remove: many })).toBe(false);
    // other shares are another event, and so are few nodes where each adds next to nothing
    expect(settle(few, shares(12, 2, 41))).toEqual(plus(few, shares(12, 2, 41)));
    expect(isMilder({ add: shares(12, 2, 1), remove: shares(3, 1, 1) })).toBe(false);
  });

  it('is milder only when every new event has no less noise than the one it replaces', () => {
    expect(isMilder({ add: bag(12), remove: bag(10) })).toBe(true);
    expect(isMilder({ add: bag(8), remove: bag(10) })).toBe(false);
    expect(isMilder({ add: bag(12, 12), remove: bag(10) })).toBe(false);
    expect(isMilder({ add: bag(12), remove: new Map() })).toBe(false);
    expect(isMilder({ add: bag(12, 30), remove: bag(10, 20) })).toBe(false); // not known which replaced which
  });
});
