/**
 * The Rényi filter: what may still happen when what comes next is chosen after seeing what came before. One order, fixed ahead; sums of
 * divergences against an allowance. The formulas and their sources are the core's (privacy/accounting/filter.rs).
 */

import { binding } from './binding.ts';
import { calling } from './core-error.ts';
import type { PrivacyEvent } from './privacy-accounting.ts';

/** Rényi divergence of one occurrence of the event at a whole order of at least 2, rounded up. */
export function filterDivergence(event: PrivacyEvent, order: number): number {
  return calling(() => binding.privacyFilterDivergence(JSON.stringify({ ...event, count: 1 }), order));
}

/** The most that may be spent at `order` for (ε, δ), rounded down; below 0 where nothing may. */
export function filterAllowance(order: number, { epsilon, delta }: { epsilon: number; delta: number }): number {
  return calling(() => binding.privacyFilterAllowance(order, epsilon, delta));
}

/** ε at δ of what was spent at `order`, rounded up; Infinity when nothing can be said. */
export function filterEpsilon(order: number, spent: number, delta: number): number {
  return calling(() => binding.privacyFilterEpsilon(order, spent, delta));
}

/** The order at which (ε, δ) lasts longest. */
export function filterOrder({ epsilon, delta }: { epsilon: number; delta: number }): number {
  return calling(() => binding.privacyFilterOrder(epsilon, delta));
}
