import type { AuditLine } from './guarded-node.ts';
import type { Kill } from './kills.ts';

/** A round of training as the server recorded it. */
export interface RoundRecord {
  readonly round: number;
  readonly cohort: number;
  readonly accepted: number;
  readonly masking: { readonly shared: number; readonly delivered: number; readonly opened: number } | undefined;
}

export interface Evidence {
  readonly rounds: readonly RoundRecord[];
  /** Of all owners together: who joined which round under which floors, and what was opened. */
  readonly joined: readonly AuditLine[];
  readonly opened: readonly AuditLine[];
  readonly before: Kill;
  readonly after: Kill;
  readonly accuracy: number;
  readonly plain: number;
}

export interface Verdict {
  readonly complaints: string[];
  readonly fewest: number;
  readonly sums: number;
}

const MOST_DIFFERENCE = 0.02;

/** Did both kills take effect, was no sum of fewer nodes than the terms allow opened, and is the model as good as without masks? */
export function judge({ rounds, joined, opened, before, after, accuracy, plain }: Evidence): Verdict {
  const complaints: string[] = [];
  const record = (round: number) => rounds.find((one) => one.round === round);
  const [early, late] = [record(before.round), record(after.round)];
  if (early?.masking?.delivered !== (early?.cohort ?? 0) - 1) {
    complaints.push(`round ${before.round} should lack one vector: ${JSON.stringify(early)}`);
  }
  if (late?.masking?.delivered !== late?.cohort || !((late?.masking?.opened ?? 0) < (late?.cohort ?? 0))) {
    complaints.push(`round ${after.round} should have the killed node's vector, not its help: ${JSON.stringify(late)}`);
  }
  for (const { name, task } of [before, after]) {
    if (opened.some((line) => line.task === task)) complaints.push(`${name} helped to open a sum after it was killed`);
  }
  const terms = new Map(joined.map(({ task, survivors }) => [task, Number(survivors)]));
  const below = opened.filter(({ task, survivors }) => !(Number(survivors) >= (terms.get(task) ?? Infinity)));
  if (below.length > 0) complaints.push(`${below.length} guards helped to open sums of too few nodes`);
  for (const { round, masking } of rounds) {
    const trained = joined.find((line) => line.round === round && line.kind === 'train');
    const [floor, threshold] = [Number(trained?.survivors), Number(trained?.threshold)];
    if (masking === undefined || masking.delivered < floor || masking.opened < threshold || Number.isNaN(floor)) {
      complaints.push(`round ${round} was opened by too few: ${JSON.stringify(masking)}`);
    }
  }
  if (opened.length === 0) complaints.push('no sum was ever opened');
  // Rounding errors of the subtraction must not decide.
  if (!(Math.abs(accuracy - plain) <= MOST_DIFFERENCE + 1e-9)) {
    complaints.push(
      `the accuracy ${accuracy.toFixed(3)} is more than ${MOST_DIFFERENCE} from the plain run's ${plain.toFixed(3)}`,
    );
  }
  const sums = new Set(opened.map(({ run, round, kind }) => `${run} ${round} ${kind}`));
  return { complaints, sums: sums.size, fewest: Math.min(...opened.map(({ survivors }) => Number(survivors))) };
}
