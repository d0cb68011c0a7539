import type {
  RunPolicy,
  Balance as WireBalance,
  Refusal as WireRefusal,
  Reservation as WireReservation,
  Scope as WireScope,
} from '@aegis/contracts/aegis/privacy/v1/privacy';
import { ReservationState, ScopeKind as WireKind } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { AegisError } from '@aegis/errors';
import type { Balance } from '../domain/balance.ts';
import { eventTexts } from '../domain/charges.ts';
import type { AskedPolicy } from '../domain/policy.ts';
import type { Refusal } from '../domain/refusal.ts';
import type { Scope, ScopeKind } from '../domain/scope.ts';
import type { Granted } from '../flows/reserve.ts';

const wireKinds: Record<ScopeKind, WireKind> = { run: WireKind.RUN, dataset: WireKind.DATASET, unit: WireKind.UNIT };
const states = {
  reserved: ReservationState.RESERVED,
  committed: ReservationState.COMMITTED,
  released: ReservationState.RELEASED,
} as const;

export function readScope(scope: WireScope | undefined): Scope {
  const kind = (Object.keys(wireKinds) as ScopeKind[]).find((known) => wireKinds[known] === scope?.kind);
  if (scope === undefined || kind === undefined)
    throw new AegisError('REQUEST_MALFORMED', 'scope.kind is missing; it is run, dataset or unit.');
  return { kind, name: scope.name };
}

export function readPolicy(policy: RunPolicy | undefined): AskedPolicy {
  if (policy === undefined) throw new AegisError('REQUEST_MALFORMED', 'policy is missing.');
  return policy;
}

const writeScope = ({ kind, name }: Scope): WireScope => ({ kind: wireKinds[kind], name });

export const writeBalance = (balance: Balance): WireBalance => ({
  scope: writeScope(balance.scope),
  epsilonBudget: balance.budget.epsilon,
  delta: balance.budget.delta,
  epsilon: balance.epsilon,
  used: balance.used,
  composition: balance.composition,
  method: balance.method,
  reserved: BigInt(balance.reserved),
  committed: BigInt(balance.committed),
  partition: balance.partition,
});

export const writeReservation = ({ reservation, balances }: Granted): WireReservation => ({
  reservationId: reservation.id,
  state: states[reservation.state],
  events: eventTexts(reservation.events),
  balances: balances.map(writeBalance),
  resultDigest: reservation.result,
});

export const writeRefusal = ({ code, detail, shortfalls, fits }: Refusal): WireRefusal => ({
  code,
  detail,
  shortfalls: shortfalls.map(({ scope, budget, epsilonBefore, epsilonAsked, left }) => ({
    scope: writeScope(scope),
    epsilonBudget: budget.epsilon,
    delta: budget.delta,
    ...{ epsilonBefore, epsilonAsked, left },
  })),
  fits: { count: BigInt(Number.isFinite(fits.count) ? fits.count : 0), noiseMultiplier: fits.noise },
});
