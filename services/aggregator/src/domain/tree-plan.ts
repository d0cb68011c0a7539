// DP-FTRL: what a private run with noise of a tree over its rounds may be, who may take part in which round, and what it is charged as.
import { type Sampling, smallestCohort } from './cohort.ts';
import { type PlanValues, quote, refused } from './plan-values.ts';

/**
 * Kairouz et al., Practical and Private (Deep) Learning Without Sampling or Shuffling, arXiv 2103.00039. The model after round t holds the noise of
 * the few nodes of a binary tree that cover the rounds 1 to t; a unit is in ⌈log₂(rounds + 1)⌉ of them, each time it takes part **in another tree**.
 */
export interface TreePlan {
  /** Rounds of each tree but the last, which has what is left. */
  readonly restartEvery: number;
  /** Rounds of the run that a unit may be asked in, one in each tree. */
  readonly maxParticipations: number;
  /** Units asked in each round: the same number always, as sums are divided by it. */
  readonly cohort: number;
}

/** Where a round stands. */
export interface TreeRound extends TreePlan {
  /** Restarts before it. */
  readonly tree: number;
  /** Its place in the tree, from 1. */
  readonly leaf: number;
}

/** How often a unit was asked in a run, and in which tree last; by pseudonym. */
export type Participation = ReadonlyMap<string, { readonly times: number; readonly tree: number }>;

const PREFIX = 'aegis.privacy.';
/** The event names each of them, and is one text. */
const MOST_TREES = 500;

/** Null: fresh noise in every round. */
export function readTree(
  value: PlanValues,
  train: Sampling,
  rounds: number,
  other: { readonly sampled: boolean; readonly adapts: boolean },
): TreePlan | null {
  const mechanism = value.text(`${PREFIX}mechanism`, 'gaussian');
  if (mechanism !== 'gaussian' && mechanism !== 'tree')
    throw refused(`${PREFIX}mechanism`, `is ${quote(mechanism)}; it must be "gaussian" or "tree".`);
  if (mechanism === 'gaussian') {
    for (const key of [`${PREFIX}max-participations`, `${PREFIX}tree-restart-every`])
      if (value.find(key) !== undefined)
        throw refused(key, `is set, but only ${PREFIX}mechanism = "tree" counts who takes part how often.`);
    return null;
  }
  if (other.sampled)
    throw refused(
      'aegis.selection.sampling',
      `is set, but ${PREFIX}mechanism = "tree" gains nothing by secret cohorts: it counts how often a unit takes part. Leave it out.`,
    );
  if (other.adapts)
    throw refused(
      `${PREFIX}adaptive-clip`,
      `is set, but with ${PREFIX}mechanism = "tree" noise of earlier rounds is used again, and was made for their clip: set a fixed ${PREFIX}clip.`,
    );
  const maxParticipations = value.integer(`${PREFIX}max-participations`, 1, 1_000_000, 1);
  if (maxParticipations > rounds)
    throw refused(`${PREFIX}max-participations`, `is ${maxParticipations}, but there are ${rounds} rounds.`);
  const fitting = Math.floor(rounds / maxParticipations);
  const restartEvery = value.integer(`${PREFIX}tree-restart-every`, 1, 1_000_000, fitting);
  const trees = Math.ceil(rounds / restartEvery);
  if (maxParticipations > trees)
    throw refused(
      `${PREFIX}max-participations`,
      `is ${maxParticipations}, but a unit takes part once in a tree, and ${rounds} rounds in trees of ${restartEvery} are ${trees} of them: set ${PREFIX}tree-restart-every = ${fitting}, or less.`,
    );
  if (trees > MOST_TREES)
    throw refused(
      `${PREFIX}tree-restart-every`,
      `is ${restartEvery}: ${trees} trees, and at most ${MOST_TREES} are accounted for. Restart every ${Math.ceil(rounds / MOST_TREES)} rounds or less often.`,
    );
  return { restartEvery, maxParticipations, cohort: smallestCohort(train).wanted };
}

/** As an event names them: the leaves of each tree. */
export function treesOf({ restartEvery }: TreePlan, rounds: number): number[] {
  const whole = Array.from({ length: Math.floor(rounds / restartEvery) }, () => restartEvery);
  return rounds % restartEvery === 0 ? whole : [...whole, rounds % restartEvery];
}

export const treeRound = (plan: TreePlan, round: number): TreeRound => ({
  ...plan,
  tree: Math.floor((round - 1) / plan.restartEvery),
  leaf: ((round - 1) % plan.restartEvery) + 1,
});

/** As many as the plan says, of those who may. The run begins when as many are online as it asks for; later that would count who is worn out. */
export const samplingOfTree = ({ cohort }: TreePlan, { minAvailable }: Sampling, round: number): Sampling => ({
  fraction: 0,
  minNodes: cohort,
  minAvailable: round === 1 ? minAvailable : cohort,
  overSelect: 1,
});

/** Who may not be asked in this round: whoever was asked in its tree already, or as often as the run may ask. */
export function wornOut(
  { tree, maxParticipations }: TreeRound,
  before: Participation,
  askedNow: readonly string[] = [],
): ReadonlySet<string> {
  const worn = new Set(askedNow);
  for (const [unit, past] of before) if (past.tree === tree || past.times >= maxParticipations) worn.add(unit);
  return worn;
}

/** A round asked these, in however many attempts. */
export function afterRound(before: Participation, { tree }: TreeRound, asked: readonly string[]): Participation {
  const after = new Map(before);
  for (const unit of new Set(asked)) after.set(unit, { times: (before.get(unit)?.times ?? 0) + 1, tree });
  return after;
}

/** Why the run ends here, and what would fit those who are online. */
export function tooFewLeft(round: TreeRound, { fresh, online }: { fresh: number; online: number }): string {
  const { cohort, restartEvery, maxParticipations, leaf } = round;
  const once = maxParticipations === 1 ? 'once' : `${maxParticipations} times, once in each tree`;
  const fits = Math.floor(online / cohort);
  return (
    `${fresh} of the ${online} units online may still take part and ${cohort} are needed: a unit is asked ${once}, and this is round ${leaf} of a tree of ${restartEvery}. ` +
    `${online} units fill trees of ${fits} rounds with ${cohort} in each: enrol ${cohort * restartEvery} for this plan, lower min-train-nodes, or set ${PREFIX}tree-restart-every = ${fits} and raise ${PREFIX}max-participations`
  );
}

export const treeNote = ({ restartEvery, maxParticipations, cohort }: TreePlan, rounds: number): string =>
  `noise of ${treesOf({ restartEvery, maxParticipations, cohort }, rounds).length === 1 ? 'one tree' : `trees of ${restartEvery} rounds`}: ${cohort} units are asked in each round, none of them twice in a tree or more than ${maxParticipations === 1 ? 'once' : `${maxParticipations} times`} in all; ${cohort * Math.min(restartEvery, rounds)} units are needed`;
