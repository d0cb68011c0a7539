import { AegisError } from '@aegis/errors';
import type { ScopeKind } from './scope.ts';

/** What may be spent. `order`: of the Renyi filter, fixed with the budget and kept by an account from its first charge on. */
export interface Budget {
  readonly epsilon: number;
  readonly delta: number;
  readonly order: number;
}

export const DEFAULT_EPSILON = 1.0;
export const DEFAULT_DELTA = 1e-5;

/** Beyond this an epsilon promises nothing that could be told from no promise. */
const MOST_EPSILON = 1_000;

export function checkBudget(kind: ScopeKind, epsilon: number, delta: number): void {
  if (!(epsilon > 0 && epsilon <= MOST_EPSILON))
    throw new AegisError(
      'PRIVACY_POLICY_INVALID',
      `epsilon of the ${kind} is ${epsilon}; it must be above 0 and at most ${MOST_EPSILON}.`,
    );
  if (!(delta > 0 && delta < 1))
    throw new AegisError('PRIVACY_POLICY_INVALID', `delta of the ${kind} is ${delta}; it must be between 0 and 1.`);
}
