import { existsSync, readFileSync } from 'node:fs';
import type { LoadedPolicy } from './config.ts';
import type { Masking } from './domain/masking.ts';
import { judgeOffer, type Policy } from './domain/policy.ts';
import type { Decision } from './domain/rules.ts';
import type { RunFacts, TaskKind } from './domain/task.ts';
import { noiseSpent } from './flows/noise-charge.ts';
import { SqliteJournal } from './store/sqlite-journal.ts';

export interface Explanation {
  readonly runId: bigint;
  /** As the server described it first; null: this guard was never offered work of the run. */
  readonly run: RunFacts | null;
  /** Trusted entities that signed its app, as seen when work was offered last. */
  readonly signedBy: readonly string[];
  /** Terms of its masked task that came last; null: none was masked. */
  readonly masking: Masking | null;
  /** What all noised sums of this node, of whatever run, have cost; null: the policy has no budget for them. */
  readonly noise: { readonly sums: number; readonly epsilon: number } | null;
  /** What would be decided of a task offered now, whose answer leaves masked or in the clear. */
  readonly tasks: readonly { readonly kind: TaskKind; readonly masked: boolean; readonly decision: Decision }[];
  /** The lines of the audit file about the run, oldest first. */
  readonly history: readonly Readonly<Record<string, unknown>>[];
}

const KINDS: readonly TaskKind[] = ['train', 'evaluate', 'initial-model'];
const DAY_MS = 86_400_000;

/** What would leave for a run, and why or why not; from the guard's own files, also while it runs. */
export const explainRun = (
  { state, auditFile, now, canMask }: { state: string; auditFile: string; now: number; canMask: boolean },
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
    const masking = journal?.lastMasking(runId) ?? null;
    const wasMasked = masking !== null;
    const terms = masking ?? atTheFloors(policy);
    const tasks = KINDS.flatMap((kind) =>
      [terms, null].flatMap((one) => {
        const masked = one !== null;
        // Nobody can mask a first model.
        if (masked && kind === 'initial-model') return [];
        const masks = { masking: one, wasMasked, canMask: canMask || wasMasked };
        return [{ kind, masked, decision: judgeOffer(policy, { ...facts, ...masks, kind }, spent) }];
      }),
    );
    const noise = journal === null ? null : noiseSpent(journal, policy);
    return { runId, run, signedBy, masking, noise, tasks, history };
  } finally {
    journal?.close();
  }
};

/** The weakest round that the owner lets this node take part in. */
const atTheFloors = ({ floors: { cohort, survivors }, leastNoise, noiseBudget }: Policy): Masking => ({
  ...{ cohort, minSurvivors: survivors, threshold: survivors, degree: cohort - 1 },
  ...{ plan: '', round: 0n, bits: 2, length: 1 },
  grid: {
    clip: 1,
    ownClips: {},
    metrics: [],
    valueBits: 2,
    weightMax: 1,
    maxExamples: 1,
    normClip: null,
    noiseSigma: leastNoise > 0 || noiseBudget !== null ? 4 : null,
  },
});

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
