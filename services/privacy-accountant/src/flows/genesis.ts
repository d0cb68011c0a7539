import type { Book } from '../domain/book.ts';
import { DEFAULT_DELTA, DEFAULT_EPSILON } from '../domain/budget.ts';
import type { Fact } from '../domain/entry.ts';
import type { Pricing } from '../domain/pricing.ts';
import { SCOPE_KINDS } from '../domain/scope.ts';

/** The defaults that a ledger begins with, as entries like any other: a later release with other defaults changes nothing that is written. */
export function genesis(book: Book, pricing: Pricing): Fact[] {
  const order = pricing.orderFor(DEFAULT_EPSILON, DEFAULT_DELTA);
  return SCOPE_KINDS.filter((kind) => !book.defaults.has(kind)).map((kind) => ({
    kind: 'budget',
    scope: { kind, name: '' },
    ...{ epsilon: DEFAULT_EPSILON, delta: DEFAULT_DELTA, order, partitions: [] },
  }));
}
