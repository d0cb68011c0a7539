import type { Ledger } from '../../services/aggregator/src/peers/contract.ts';
import type { MemoryLedger } from '../../services/aggregator/src/peers/memory/ledger.ts';
import type { Life } from './life.ts';

/** The ledger as one process reaches it: a service of its own that outlives it. A process may die before it is heard, or before it hears. */
export function ledgerFor(ledger: MemoryLedger, life: Life): Ledger {
  const write = async <T>(work: () => Promise<T>): Promise<T> => {
    await life.gate();
    let done: Promise<T> | undefined;
    life.write(() => {
      done = work();
      done.catch(() => {});
    });
    const answer = await (done ?? life.gate());
    await life.gate();
    return answer as T;
  };
  return {
    plan: async (request) => {
      await life.gate();
      return ledger.plan(request);
    },
    reserve: (request) => write(() => ledger.reserve(request)),
    commit: (request) => write(() => ledger.commit(request)),
    release: (request) => write(() => ledger.release(request)),
  };
}
