import type { Change } from './account.ts';
import { type Charges, minus, noCharges, noiseOf, plus, shapeOf, sortedCharges } from './charges.ts';

/**
 * What a reservation is charged once it is known what really happened. An actual event takes the place of a reserved one that differs in
 * its noise alone: with more noise it costs less, with less it costs more. Any other actual event comes on top, and what was reserved
 * and did not happen stays charged: that it did not happen is only the caller's word.
 */
export function settle(reserved: Charges, actual: Charges): Charges {
  let charged = reserved;
  const open = new Map(reserved);
  const take = (event: string, count: number): void => {
    const left = (open.get(event) ?? 0) - count;
    if (left === 0) open.delete(event);
    else open.set(event, left);
  };
  const rest: [string, number][] = [];
  for (const [event, count] of sortedCharges(actual)) {
    const same = Math.min(count, open.get(event) ?? 0);
    if (same > 0) take(event, same);
    if (count > same) rest.push([event, count - same]);
  }
  for (const [event, count] of rest) {
    let left = count;
    for (const candidate of alike(open, event)) {
      const taken = Math.min(left, open.get(candidate) ?? 0);
      if (taken === 0) break;
      take(candidate, taken);
      charged = minus(charged, new Map([[candidate, taken]])) ?? noCharges;
      left -= taken;
    }
    charged = plus(charged, new Map([[event, count]]));
  }
  return charged;
}

/** Larger than any noise multiplier. */
const FAR = 1e12;

/** Reserved events of the same shape: first those with no more noise, the nearest first, as what happened is covered by them; then the others. */
function alike(open: Charges, event: string): string[] {
  const shape = shapeOf(event);
  const noise = noiseOf(event) ?? 0;
  const distance = (reserved: string): number => {
    const behind = noise - (noiseOf(reserved) ?? 0);
    return behind >= 0 ? behind : FAR - behind;
  };
  return [...open.keys()].filter((reserved) => shapeOf(reserved) === shape).sort((a, b) => distance(a) - distance(b));
}

/** From one charge to another. */
export function netChange(from: Charges, to: Charges): Change {
  const add = new Map<string, number>();
  const remove = new Map<string, number>();
  for (const event of new Set([...from.keys(), ...to.keys()])) {
    const more = (to.get(event) ?? 0) - (from.get(event) ?? 0);
    if (more > 0) add.set(event, more);
    if (more < 0) remove.set(event, -more);
  }
  return { add, remove };
}
