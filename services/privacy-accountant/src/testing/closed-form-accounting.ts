import { AegisError } from '@aegis/errors';
import type { Charges } from '../domain/charges.ts';
import type { Accounting } from '../flows/accounting.ts';

/**
 * Unsampled Gaussian noise alone, and trees of it, by the formulas a reader can check on paper: R(order) = order / (2 z²). Tests of the ledger's rules need no
 * more; that the core knows all mechanisms is tested with the core.
 */
export const closedFormAccounting: Accounting = {
  renyi: (event, order) => {
    const { mechanism, 'noise-multiplier': noise, steps, epochs = 1 } = JSON.parse(event);
    // Kairouz et al. 2103.00039: a unit is in so many nodes of Gaussian noise
    if (mechanism === 'tree')
      return (epochs * Math.ceil(Math.log2(Math.max(...[steps].flat()) + 1)) * order) / (2 * noise * noise);
    if (mechanism !== 'gaussian')
      throw new AegisError('PRIVACY_EVENT_INVALID', `mechanism ${mechanism} has no closed form here.`);
    return order / (2 * noise * noise);
  },
  orderFor: (epsilon, delta) => {
    let best = 2;
    for (let order = 2; order < 2_000; order += 1)
      if (allowanceAt(order, epsilon, delta) / order > allowanceAt(best, epsilon, delta) / best) best = order;
    return best;
  },
  allowance: (order, epsilon, delta) => allowanceAt(order, epsilon, delta),
  epsilon: (order, spent, delta) => (spent === 0 ? 0 : Math.max(0, spent + epsilon0(order, delta))),
  check: (texts) =>
    texts.map((text) => {
      const event = JSON.parse(text);
      if (!(event['noise-multiplier'] > 0))
        throw new AegisError('PRIVACY_EVENT_INVALID', 'noise-multiplier must be above 0.');
      return JSON.stringify({ sampling: { kind: 'none' }, ...event });
    }),
  epsilonOf: async (events, delta) => quick(events, delta),
  quickEpsilonOf: (events, delta) => quick(events, delta),
  noiseFor: async (texts, epsilon, delta) => {
    const covers = (noise: number): boolean => {
      const events = texts.map((text) => ({ 'noise-multiplier': noise, ...JSON.parse(text) }));
      return (
        quick(new Map(events.map(({ count, ...event }) => [JSON.stringify(event), count])), delta).epsilon <= epsilon
      );
    };
    let [low, high] = [1e-2, 1e6];
    while (high / low > 1.0001) {
      const middle = Math.sqrt(low * high);
      if (covers(middle)) high = middle;
      else low = middle;
    }
    return high;
  },
};

/** Canonne, Kamath, Steinke 2020, proposition 12. */
const epsilon0 = (order: number, delta: number): number =>
  Math.log(1 - 1 / order) - (Math.log(delta) + Math.log(order)) / (order - 1);
const allowanceAt = (order: number, epsilon: number, delta: number): number => epsilon - epsilon0(order, delta);

function quick(events: Charges, delta: number) {
  let least = Number.POSITIVE_INFINITY;
  for (let order = 1.01; order < 5_000; order *= 1.01) {
    let spent = 0;
    for (const [event, count] of events) spent += count * closedFormAccounting.renyi(event, order);
    least = Math.min(least, Math.max(0, spent + epsilon0(order, delta)));
  }
  return { epsilon: events.size === 0 ? 0 : least, lower: 0, method: 'rdp' };
}
