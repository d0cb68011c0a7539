import { type Scope, ScopeKind } from '@aegis/contracts/aegis/privacy/v1/privacy';
import type { Operator } from '../../cli/src/operator.ts';

/** What the data owner grants: to the data set, and to each unit across all runs. */
export async function setBudgets(operator: Operator, dataset: string, epsilon: number): Promise<void> {
  const set = (scope: Scope) => operator.call('setBudget', { scope, epsilon, delta: 0, addPartitions: [] });
  await set({ kind: ScopeKind.DATASET, name: dataset });
  await set({ kind: ScopeKind.UNIT, name: '' });
}

/** ε of the data set, as the ledger has it: reserved and committed. */
export async function spentOf(operator: Operator, dataset: string): Promise<number> {
  const { balances } = await operator.call('listBudgets', { units: false });
  return balances.find(({ scope }) => scope?.kind === ScopeKind.DATASET && scope.name === dataset)?.epsilon ?? 0;
}
