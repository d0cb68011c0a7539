import type { ErrorCode } from '@aegis/errors';
import type { Shortfall } from './coverage.ts';

/** What was asked, what is left, what would fit. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly shortfalls: readonly Shortfall[];
  readonly fits: {
    /** How often what was asked would still fit. */
    readonly count: number;
    /** With this noise in every event all of it would fit; 0: with none. */
    readonly noise: number;
  };
}

export function refusalOf(shortfalls: readonly Shortfall[], noise: number): Refusal {
  const count = Math.min(...shortfalls.map(({ fits }) => fits));
  return {
    code: 'PRIVACY_BUDGET_EXHAUSTED',
    detail: `${capital(shortfalls.map(describe).join('; '))}.`,
    shortfalls,
    fits: { count, noise },
  };
}

function describe({ scope, partition, budget, epsilonBefore, epsilonAsked, left }: Shortfall): string {
  const whose = { run: 'run', dataset: 'data set', unit: 'unit' }[scope.kind];
  const part = partition === '' ? '' : ` (partition ${partition})`;
  const named = `${whose} ${scope.name}${part}`;
  if (scope.kind === 'run' && epsilonBefore === epsilonAsked)
    return `${named}: this is not in what is left of its schedule (${percent(left)} of it)`;
  return (
    `${named}: epsilon ${number(epsilonBefore)} of ${number(budget.epsilon)} (delta ${budget.delta}) is spent, ` +
    `${percent(left)} is left; with what was asked it would be ${number(epsilonAsked)}`
  );
}

const number = (value: number): string => (Number.isFinite(value) ? String(Number(value.toPrecision(4))) : 'unbounded');
const percent = (share: number): string => `${Math.floor(share * 100)} %`;
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
