import { existsSync, readFileSync } from 'node:fs';
import type { LoadedPolicy } from './config.ts';
import { type Decision, judgeOffer } from './domain/policy.ts';
import type { RunFacts, TaskKind } from './domain/task.ts';
import { SqliteJournal } from './store/sqlite-journal.ts';

export interface Explanation {
  readonly runId: bigint;
  /** As the server described it first; null: this guard was never offered work of the run. */
  readonly run: RunFacts | null;
  /** Trusted entities that signed its app, as seen when work was offered last. */
  readonly signedBy: readonly string[];
  /** What would be decided of a task offered now. */
  readonly tasks: readonly { readonly kind: TaskKind; readonly decision: Decision }[];
  /** The lines of the audit file about the run, oldest first. */
  readonly history: readonly Readonly<Record<string, unknown>>[];
}

const KINDS: readonly TaskKind[] = ['train', 'evaluate', 'initial-model'];
const DAY_MS = 86_400_000;

/** What would leave for a run, and why or why not; from the guard's own files, also while it runs. */
export const explainRun = (
  { state, auditFile, now }: { state: string; auditFile: string; now: number },
  { policy }: LoadedPolicy,
  runId: bigint,
): Explanation => {
  const history = linesAbout(auditFile, runId);
  const offered = history.findLast((line) => line.event === 'offer-allowed');
  const signedBy = Array.isArray(offered?.signedBy) ? offered.signedBy.map(String) : [];
  const journal = SqliteJournal.openToRead(state);
  try {
    const run = journal?.run(runId) ?? null;
    const spent = journal?.spentSince(now - DAY_MS) ?? { answers: 0, bytes: 0 };
    const facts = { runId, appId: run?.appId ?? '', appHash: run?.appHash ?? '', signedBy };
    const tasks = KINDS.map((kind) => ({ kind, decision: judgeOffer(policy, { ...facts, kind }, spent) }));
    return { runId, run, signedBy, tasks, history };
  } finally {
    journal?.close();
  }
};

const linesAbout = (file: string, runId: bigint): Record<string, unknown>[] => {
  if (!existsSync(file)) return [];
  const id = runId.toString();
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => (line.includes(id) ? lineOf(line) : []))
    .filter((line) => line.run === id);
};

/** A line that a crash cut short says nothing. */
const lineOf = (line: string): Record<string, unknown>[] => {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
};
