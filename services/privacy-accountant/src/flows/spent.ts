import { type Balance, dataSetBalance, mostSpentUnit, unitBalance } from '../domain/balance.ts';
import type { Book, Run } from '../domain/book.ts';
import { checkScope, type Scope } from '../domain/scope.ts';
import { runBalance } from './balances.ts';
import type { Ground } from './ground.ts';

/** What scopes have spent; without any, everything that has a balance, and of the units the most spent one. */
export async function spent(ground: Ground, scopes: readonly Scope[]): Promise<Balance[]> {
  for (const scope of scopes) checkScope(scope);
  const { runs, rest } = await ground.ledger.read((book) => {
    const wanted = scopes.length > 0 ? scopes : everything(book);
    const runs = wanted.filter(({ kind }) => kind === 'run').map(({ name }) => book.runs.get(BigInt(name || 0)));
    const rest = wanted.filter(({ kind }) => kind !== 'run').map((scope) => balanceOf(ground, book, scope));
    const most = scopes.length > 0 ? null : mostSpentUnit(book, book.units.keys(), ground.accounting);
    return { runs: runs.filter((run): run is Run => run !== undefined), rest: most === null ? rest : [...rest, most] };
  });
  return [...(await Promise.all(runs.map((run) => runBalance(ground, run)))), ...rest];
}

const everything = (book: Book): Scope[] => [
  ...[...book.runs.keys()].map((runId) => ({ kind: 'run' as const, name: runId.toString() })),
  ...[...book.dataSets.keys()].map((name) => ({ kind: 'dataset' as const, name })),
];

const balanceOf = ({ accounting }: Ground, book: Book, { kind, name }: Scope): Balance =>
  kind === 'dataset' ? dataSetBalance(book, name, accounting) : unitBalance(book, name, accounting);
