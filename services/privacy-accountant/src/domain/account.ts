import { AegisError } from '@aegis/errors';
import { type Charges, minus, noCharges, plus, relationOf } from './charges.ts';
import type { Pricing } from './pricing.ts';

/** What one scope has spent. Never changed in place: units with the same past share one, and stay shared while they go together. */
export interface Account {
  /** Of the Renyi filter, fixed before the first event. */
  readonly order: number;
  /** One account speaks of one kind of unit and one neighbouring relation: sums over different ones would mean nothing. */
  readonly unit: string;
  readonly relation: string;
  readonly charges: Charges;
}

/** A change of what is spent; `remove` is within what is there. */
export interface Change {
  readonly add: Charges;
  readonly remove: Charges;
}

/** Rounding of the sums below stays under this, and is paid for. */
const ROUND_UP = 1 + 1e-12;

export const openAccount = (order: number, unit: string, relation: string): Account => ({
  order,
  unit,
  relation,
  charges: noCharges,
});

export function changed(account: Account, { add, remove }: Change): Account {
  const rest = minus(account.charges, remove);
  if (rest === undefined) throw new AegisError('INTERNAL', '', new Error('more is taken back than was charged'));
  return { ...account, charges: plus(rest, add) };
}

const sums = new WeakMap<Charges, { order: number; pricing: Pricing; sum: number }>();

/** At the account's order, rounded up. */
export function spentOf({ charges, order }: Account, pricing: Pricing): number {
  const known = sums.get(charges);
  if (known !== undefined && known.order === order && known.pricing === pricing) return known.sum;
  let sum = 0;
  for (const [event, count] of charges) sum += count * pricing.renyi(event, order);
  sum *= ROUND_UP;
  sums.set(charges, { order, pricing, sum });
  return sum;
}

/** The relation that all events share. */
export function relationOfAll(charges: Charges): string {
  const relations = new Set([...charges.keys()].map(relationOf));
  const [relation, other] = relations;
  if (relation === undefined) throw new AegisError('PRIVACY_EVENT_INVALID', 'There is no event.');
  if (other !== undefined)
    throw new AegisError(
      'PRIVACY_EVENT_INVALID',
      `The events have different relations, ${relation} and ${other}; use one.`,
    );
  return relation;
}

export function demandSame(account: Account, unit: string, relation: string, whose: string): void {
  if (account.unit !== unit)
    throw new AegisError(
      'PRIVACY_POLICY_INVALID',
      `${whose} is accounted for each ${account.unit}, not for each ${unit}.`,
    );
  if (account.relation !== relation)
    throw new AegisError(
      'PRIVACY_EVENT_INVALID',
      `${whose} is accounted under ${account.relation}; these events are under ${relation}.`,
    );
}
