import { type Balance, ScopeKind } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { formatNumber } from './values.ts';

export const kinds = ['run', 'dataset', 'unit'] as const;
export type Kind = (typeof kinds)[number];

const numbers: Readonly<Record<Kind, ScopeKind>> = {
  run: ScopeKind.RUN,
  dataset: ScopeKind.DATASET,
  unit: ScopeKind.UNIT,
};
export const kindOf = (kind: Kind): ScopeKind => numbers[kind];
const wordOf = (kind: ScopeKind | undefined): Kind => kinds.find((word) => numbers[word] === kind) ?? 'run';

export const balanceJson = ({ scope, ...balance }: Balance) => ({
  kind: wordOf(scope?.kind),
  name: scope?.name === '' ? null : (scope?.name ?? null),
  partition: balance.partition === '' ? null : balance.partition,
  epsilonBudget: balance.epsilonBudget,
  delta: balance.delta,
  epsilon: balance.epsilon,
  used: balance.used,
  composition: balance.composition,
  method: balance.method,
  reserved: balance.reserved,
  committed: balance.committed,
});

export const balanceHead = ['KIND', 'NAME', 'EPSILON', 'OF', 'DELTA', 'USED', 'RESERVED', 'COMMITTED', 'BY'];

export const balanceRow = ({ scope, ...balance }: Balance): string[] => [
  wordOf(scope?.kind),
  nameOf(scope?.name ?? '', balance.partition),
  formatEpsilon(balance.epsilon),
  formatNumber(balance.epsilonBudget),
  balance.delta.toString(),
  percent(balance.used),
  balance.reserved.toString(),
  balance.committed.toString(),
  balance.method === '' ? '' : `${balance.composition}, ${balance.method}`,
];

export const describeBalance = ({ scope, ...balance }: Balance): string =>
  `${wordOf(scope?.kind)} ${nameOf(scope?.name ?? '', balance.partition)}: epsilon ${formatEpsilon(balance.epsilon)} of ` +
  `${formatNumber(balance.epsilonBudget)} at delta ${balance.delta} (${percent(balance.used)} used)`;

const nameOf = (name: string, partition: string): string => {
  if (name === '') return '(default)';
  return partition === '' ? name : `${name} / ${partition}`;
};

/** An upper bound is rounded up. */
const formatEpsilon = (epsilon: number): string => (Math.ceil(epsilon * 1e4) / 1e4).toString();
const percent = (share: number): string => `${(Math.ceil(share * 1000) / 10).toFixed(1)} %`;
