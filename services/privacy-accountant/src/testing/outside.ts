import { DEFAULT_DELTA, DEFAULT_EPSILON } from '../domain/budget.ts';
import { type Charges, plus } from '../domain/charges.ts';
import { closedFormAccounting as accounting } from './closed-form-accounting.ts';

/**
 * The world beyond the ledger, which keeps its own count: what was promised to it, and what has left. It knows nothing of the ledger's book;
 * what it adds up must stay within what was ever granted.
 */
export class Outside {
  /** By idempotency key: the id that was answered first. */
  readonly promised = new Map<string, string>();
  /** Results that left, by reservation: once, however often the commit is answered. */
  private readonly left = new Map<string, { units: readonly string[]; events: Charges }>();
  private readonly epsilons = new Map<string, number>();

  /** The operator grants more, or less; what left under the most is still out. */
  granted(scope: string, epsilon: number): void {
    this.epsilons.set(scope, Math.max(epsilon, this.epsilons.get(scope) ?? DEFAULT_EPSILON));
  }

  leaves(id: string, units: readonly string[], events: Charges): void {
    this.left.set(id, { units, events });
  }

  get count(): number {
    return this.left.size;
  }

  /** What is wrong, if anything: more left, in the eyes of one unit or of all, than the budgets cover. */
  violations(): string[] {
    const totals = new Map<string, Charges>();
    const add = (scope: string, events: Charges): void =>
      void totals.set(scope, plus(totals.get(scope) ?? new Map(), events));
    for (const { units, events } of this.left.values()) {
      for (const unit of units) add(`unit ${unit}`, events);
      add('dataset', events);
    }
    return [...totals].flatMap(([scope, events]) => {
      const epsilon = this.epsilons.get(scope.split(' ')[0] as string) ?? DEFAULT_EPSILON;
      const order = accounting.orderFor(DEFAULT_EPSILON, DEFAULT_DELTA);
      let spent = 0;
      for (const [event, count] of events) spent += count * accounting.renyi(event, order);
      const allowance = accounting.allowance(order, epsilon, DEFAULT_DELTA);
      return spent <= allowance * (1 + 1e-9) ? [] : [`${scope}: ${spent} left, ${allowance} was granted`];
    });
  }
}
