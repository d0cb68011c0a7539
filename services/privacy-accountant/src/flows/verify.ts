import { AegisError } from '@aegis/errors';
import { relationOfAll } from '../domain/account.ts';
import type { Book } from '../domain/book.ts';
import { type Charges, noCharges } from '../domain/charges.ts';
import { uncovered } from '../domain/coverage.ts';
import type { Entry } from '../domain/entry.ts';
import { netChange } from '../domain/settle.ts';
import { beyondTree, treeOf } from '../domain/tree-run.ts';
import type { KeptEntry, Page, Position } from '../store/contract.ts';
import type { Ground } from './ground.ts';
import { isDamage, openLedger } from './open-ledger.ts';

export interface Verdict {
  readonly sound: boolean;
  readonly entries: number;
  readonly head: string;
  /** Entries that the anchor vouches for. */
  readonly anchored: number;
  readonly findings: readonly string[];
}

/** So many findings say enough. */
const MOST_FINDINGS = 50;

/**
 * Reads everything again from the storage: chain, codes, anchor, and whether every charge was covered by the budgets as they stood
 * when it was made. Needs no open ledger: it is asked when one does not open.
 */
export async function verify(ground: Ground): Promise<Verdict> {
  const { stores } = ground;
  const findings: string[] = [];
  const pending: Promise<void>[] = [];
  let newest: Pick<Position, 'entries' | 'head'> = { entries: 0, head: '0'.repeat(64) };
  const note = (finding: string): void => void (findings.length < MOST_FINDINGS && findings.push(finding));
  const anchored = await stores.anchor.read().catch((error: unknown) => {
    note(textOf(error));
    return null;
  });
  const each = ({ sequence, hash, entry }: KeptEntry, book: Book): void => {
    newest = { entries: sequence, head: hash };
    if (!isCovered(book, entry, ground)) note(`Entry ${sequence}: what it charges was not covered.`);
    if (entry.kind === 'run')
      pending.push(
        checkSchedule(entry, ground, () => note(`Entry ${sequence}: the schedule costs more than its budget.`)),
      );
  };
  const snapshot = await stores.snapshots.read().catch((error: unknown) => {
    if (!isDamage(error)) throw error;
    note(error.detail);
    return null;
  });
  const page = ({ position }: Page, book: Book): void => {
    if (position.page !== snapshot?.position.page) return;
    if (!stores.snapshots.says(snapshot, book))
      note(`The snapshot of entry ${position.entries} does not say what the entries add up to.`);
  };
  try {
    await openLedger(stores, { each, page });
  } catch (error) {
    if (!isDamage(error)) throw error;
    note(error.detail);
  }
  await Promise.all(pending);
  ground.measures.operations.add(1, { operation: 'verify', outcome: findings.length === 0 ? 'sound' : 'damaged' });
  return {
    sound: findings.length === 0,
    ...newest,
    anchored: anchored?.entries ?? 0,
    findings: [...new Set(findings)],
  };

  function textOf(error: unknown): string {
    return error instanceof AegisError ? error.detail : 'The anchor cannot be read.';
  }
}

/** By the same rule that granted it. */
function isCovered(book: Book, entry: Entry, { accounting }: Ground): boolean {
  if (entry.kind !== 'reserved' && entry.kind !== 'committed') return true;
  const reservation = entry.kind === 'committed' ? book.reservations.get(entry.id) : undefined;
  const runId = entry.kind === 'reserved' ? entry.runId : (reservation?.runId ?? 0n);
  const run = book.runs.get(runId);
  if (run === undefined) return false;
  const before: Charges = reservation?.events ?? noCharges;
  const change = netChange(before, entry.events);
  if (change.add.size === 0) return true;
  const fresh = entry.kind === 'reserved' ? entry.newUnits : [];
  const numbers = entry.kind === 'reserved' ? entry.units : (reservation?.units ?? new Int32Array());
  const known = numbers.filter((unit) => unit < book.unitNames.length);
  const tree = treeOf(run.policy);
  if (tree !== null && (entry.kind === 'committed' || beyondTree(book, runId, tree, entry.events, known) !== null))
    return false;
  const proposal = {
    policy: run.policy,
    budget: run.budget,
    run,
    units: { known, fresh },
    relation: relationOfAll(change.add),
    change,
  };
  return uncovered(book, proposal, accounting).length === 0;
}

async function checkSchedule(
  { policy, epsilon, delta }: Entry & { kind: 'run' },
  { accounting }: Ground,
  tooDear: () => void,
) {
  if (policy.schedule === null) return;
  const report = await accounting.epsilonOf(policy.schedule, delta);
  if (!(report.epsilon <= epsilon)) tooDear();
}
