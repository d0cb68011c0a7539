import type { Entry } from '../domain/entry.ts';
import { BEGINNING, type KeptEntry } from '../store/contract.ts';
import type { Ground } from './ground.ts';

const MOST = 1_000;

/** Entries as they are written, oldest first, from the storage: also those of a ledger that does not open, up to what is wrong with it. */
export async function readEntries(
  { stores }: Ground,
  { after, limit, runId }: { after: number; limit: number; runId: bigint },
): Promise<{ entries: KeptEntry[]; next: number }> {
  const most = limit === 0 ? MOST : Math.min(limit, MOST);
  const entries: KeptEntry[] = [];
  const runOf = new Map<string, bigint>();
  for await (const page of stores.history.read(BEGINNING)) {
    for (const kept of page.entries) {
      const of = belongsTo(kept.entry, runOf);
      if (kept.sequence <= after || (runId !== 0n && of !== runId)) continue;
      if (entries.length === most) return { entries, next: entries.at(-1)?.sequence ?? 0 };
      entries.push(kept);
    }
  }
  return { entries, next: 0 };
}

function belongsTo(entry: Entry, runOf: Map<string, bigint>): bigint | undefined {
  if (entry.kind === 'run') return entry.policy.runId;
  if (entry.kind === 'reserved') {
    runOf.set(entry.id, entry.runId);
    return entry.runId;
  }
  return 'id' in entry ? runOf.get(entry.id) : undefined;
}
