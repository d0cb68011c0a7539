// The typed face; the formulas are tested in Rust.
import { describe, expect, it } from 'vitest';
import {
  CoreError,
  filterAllowance,
  filterDivergence,
  filterEpsilon,
  filterOrder,
  type PrivacyEvent,
} from './index.ts';

const budget = { epsilon: 1, delta: 1e-5 };
const event: PrivacyEvent = {
  mechanism: 'gaussian',
  'noise-multiplier': 2,
  relation: 'add-or-remove-one',
  sampling: { kind: 'none' },
};

describe('the filter', () => {
  it('charges one occurrence, whatever the count, and says what is left', () => {
    const order = filterOrder(budget);
    expect(Number.isInteger(order)).toBe(true);
    const once = filterDivergence(event, order);
    expect(once).toBeCloseTo(order / 8, 9);
    expect(filterDivergence({ ...event, count: 100 }, order)).toBe(once);
    expect(filterEpsilon(order, filterAllowance(order, budget), budget.delta)).toBeLessThanOrEqual(budget.epsilon);
    expect(filterEpsilon(order, Number.NaN, budget.delta)).toBe(Number.POSITIVE_INFINITY);
  });

  it.each([
    ['an order that is not whole', () => filterDivergence(event, 2.5), 'PRIVACY_PARAMETER'],
    [
      'an event nobody knows',
      () => filterDivergence({ ...event, mechanism: 'rot13' as 'laplace' }, 8),
      'PRIVACY_EVENT',
    ],
    ['delta 0', () => filterOrder({ epsilon: 1, delta: 0 }), 'PRIVACY_PARAMETER'],
  ])('refuses %s', (_what, work, code) => {
    expect(work).toThrow(expect.objectContaining({ constructor: CoreError, code }));
  });
});
