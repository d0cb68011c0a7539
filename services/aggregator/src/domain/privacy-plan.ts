// What a private run promises, and by which means: the keys `aegis.privacy.*` and `aegis.selection.sampling`, checked with their
// arithmetic before anything leaves. The guarantee is central differential privacy of the model for one unit: each update is clipped,
// the sum gets noise once, the denominator does not depend on who answered.
import { type Sampling, smallestCohort } from './cohort.ts';
import { type PlanValues, quote, refused } from './plan-values.ts';
import { readTree, type TreePlan, treeNote } from './tree-plan.ts';

/**
 * How a round's cohort comes about, and with it what the accounting may claim.
 * - `none`: as Flower selects. Who is online is public, each unit is charged in full whenever it is selected; neighbours differ in what one
 *   unit's update says (zero-out).
 * - `poisson`: each unit is in by a coin of its own, and nobody learns who is; amplified; neighbours differ by one unit.
 * - `fixed`: so many of at least so many, in secret; amplified; one unit in the place of another, so twice the clip.
 */
export type PrivateSampling =
  | { readonly kind: 'none' }
  | { readonly kind: 'poisson'; readonly rate: number }
  | { readonly kind: 'fixed'; readonly size: number; readonly population: number };

/** Andrew et al., Differentially Private Learning with Adaptive Clipping, arXiv 1905.03871, algorithm 1. */
export interface AdaptiveClip {
  /** Share of the updates that should need no clipping: γ. */
  readonly quantile: number;
  /** η of the geometric step. */
  readonly rate: number;
}

/** Whom the promise is for: who a node is by its key or certificate, or the user whose node it is by its certificate. */
export type PrivacyUnit = 'node' | 'user';

export interface PrivacyPlan {
  readonly unit: PrivacyUnit;
  readonly epsilon: number;
  readonly delta: number;
  /** Whose budget beside the run's own and the units' is charged. */
  readonly dataset: string;
  /** The declared part of the data set that all nodes of the run belong to; absent: the data set as a whole is charged. */
  readonly partition?: string;
  readonly sampling: PrivateSampling;
  /** Greatest L2 norm of an update over all its float arrays; of the first round where it adapts. */
  readonly clip: number;
  readonly clipMax: number;
  readonly adaptive: AdaptiveClip | null;
  /** σ of all that one round releases, over the clip; null: the smallest with which all rounds fit the budget. */
  readonly noiseMultiplier: number | null;
  /** Updates count by their weight up to this one; null: all count alike. */
  readonly weightMax: number | null;
  /** The noised sum is divided by this; null: by the number of nodes selected. */
  readonly denominator: number | null;
  /** The noise is that of trees over the rounds; else it is drawn afresh in each. */
  readonly tree?: TreePlan | undefined;
}

const PREFIX = 'aegis.privacy.';
const DEFAULT_EPSILON = 1;
const DEFAULT_DELTA = 1e-5;
const ADAPTIVE_RATE = 0.2;
const ADAPTIVE_CLIP_MAX = 100;
const LEAST_NOISE = 1e-5;

/** Null: the run is not private. `key` names of the plan that a private run cannot have are refused. */
export function readPrivacy(value: PlanValues, train: Sampling, rounds: number): PrivacyPlan | null {
  if (!value.mentions(PREFIX)) {
    if (value.find('aegis.selection.sampling') === undefined) return null;
    throw refused('aegis.selection.sampling', `needs a private run: say ${PREFIX}unit = "node" and ${PREFIX}clip.`);
  }
  const unit = readUnit(value);
  refuseWithPrivacy(value, train);
  const sampling = readSampling(value, train);
  const clip = positive(value, 'clip', undefined);
  const adaptive = readAdaptive(value);
  const tree = readTree(value, train, rounds, { sampled: sampling.kind !== 'none', adapts: adaptive !== null });
  return {
    unit,
    epsilon: positive(value, 'epsilon', DEFAULT_EPSILON),
    delta: readDelta(value),
    dataset: readName(value, 'dataset', 'default'),
    ...readPartition(value),
    sampling,
    clip,
    clipMax: readClipMax(value, clip, adaptive),
    adaptive,
    noiseMultiplier: readNoise(value),
    weightMax: value.find(`${PREFIX}weight-max`) === undefined ? null : positive(value, 'weight-max', undefined),
    denominator: readDenominator(value, sampling, train) ?? tree?.cohort ?? null,
    ...(tree && { tree }),
  };
}

/** What nodes measure leaves with no noise and is charged to nobody, so a private run has it only where its owner says so. */
export function evaluatesInTheClear(value: PlanValues): boolean {
  const key = `${PREFIX}evaluation`;
  const kind = value.text(key, 'off');
  if (kind === 'off' || kind === 'clear') return kind === 'clear';
  throw refused(key, `is ${quote(kind)}; it must be "off" or "clear".`);
}

function readUnit(value: PlanValues): PrivacyUnit {
  const unit = value.text(`${PREFIX}unit`, '');
  if (unit === 'node' || unit === 'user') return unit;
  const key = `${PREFIX}unit`;
  if (unit === 'example')
    throw refused(
      key,
      'is "example", which no server can protect: an update is clipped as a whole, so one example of a node that has a hundred may make up all of it. Say "node" or "user", or add noise on the nodes.',
    );
  if (unit === '')
    throw refused(
      key,
      'is missing; say "node": what one node contributes is protected; or "user": what all nodes of one user do.',
    );
  throw refused(key, `is ${quote(unit)}; known units: "node", "user".`);
}

/** Rules of a round that would let one unit's answer decide about another's, or let something leave that nobody accounts for. */
function refuseWithPrivacy(value: PlanValues, train: Sampling): void {
  if (value.find('aegis.selection.min-report') !== undefined)
    throw refused(
      'aegis.selection.min-report',
      'has no place in a private run: a round that closes early lets one unit push out another. It closes when all have answered or failed, or at its deadline.',
    );
  if (train.overSelect > 1)
    throw refused(
      'aegis.selection.over-select',
      `is ${train.overSelect}; a private run asks as many as it counts, and replaces nobody: leave it at 1.`,
    );
  if (value.flag('aegis.join', false))
    throw refused(
      'aegis.join',
      'is true, but a client without identity has no budget that it could be charged to: private runs take none.',
    );
}

function readSampling(value: PlanValues, train: Sampling): PrivateSampling {
  const key = 'aegis.selection.sampling';
  const kind = value.text(key, 'none');
  if (kind === 'none') return { kind };
  if (kind === 'poisson') {
    if (train.fraction > 0) return { kind, rate: train.fraction };
    throw refused('fraction-train', `is 0, and with ${key} = "poisson" it is the chance of each node to be selected.`);
  }
  if (kind === 'fixed') {
    const { wanted: size, online: population } = smallestCohort(train);
    return { kind, size, population };
  }
  throw refused(key, `is ${quote(kind)}; it must be "none", "poisson" or "fixed".`);
}

function readAdaptive(value: PlanValues): AdaptiveClip | null {
  const key = `${PREFIX}adaptive-clip`;
  const found = value.find(key);
  if (found === undefined || (found.kind === 'flag' && !found.value)) return null;
  if (found.kind === 'flag') return { quantile: 0.5, rate: ADAPTIVE_RATE };
  const quantile = value.real(key, 0, 1, 0.5);
  if (quantile > 0 && quantile < 1) return { quantile, rate: ADAPTIVE_RATE };
  throw refused(
    key,
    `is ${quantile}; it must be true, false, or the share of updates to leave unclipped, between 0 and 1.`,
  );
}

function readClipMax(value: PlanValues, clip: number, adaptive: AdaptiveClip | null): number {
  const most = positive(value, 'clip-max', adaptive === null ? clip : clip * ADAPTIVE_CLIP_MAX);
  if (most >= clip) return most;
  throw refused(`${PREFIX}clip-max`, `is ${most}, less than ${PREFIX}clip = ${clip}.`);
}

function readDelta(value: PlanValues): number {
  const delta = value.real(`${PREFIX}delta`, 0, 1, DEFAULT_DELTA);
  if (delta > 0 && delta < 1) return delta;
  throw refused(
    `${PREFIX}delta`,
    `is ${delta}; it must be between 0 and 1, and far below 1 ÷ the number of nodes: with that chance the promise does not hold.`,
  );
}

function readName(value: PlanValues, key: string, otherwise: string): string {
  const name = value.text(`${PREFIX}${key}`, otherwise);
  if (name.length >= 1 && name.length <= 128) return name;
  throw refused(`${PREFIX}${key}`, `has ${name.length} characters; it must have 1 to 128.`);
}

/** Whether it was declared, and whether somebody of it was seen in another one, only the ledger knows. */
const readPartition = (value: PlanValues): Pick<PrivacyPlan, 'partition'> =>
  value.find(`${PREFIX}partition`) === undefined ? {} : { partition: readName(value, 'partition', '') };

function readNoise(value: PlanValues): number | null {
  const key = `${PREFIX}noise-multiplier`;
  const found = value.find(key);
  if (found === undefined || (found.kind === 'text' && found.value === 'auto')) return null;
  if (found.kind === 'text') throw refused(key, `is ${quote(found.value)}; it must be "auto" or a number.`);
  const noise = positive(value, 'noise-multiplier', undefined);
  if (noise >= LEAST_NOISE) return noise;
  throw refused(key, `is ${noise}; below ${LEAST_NOISE} the noise is lost in rounding, and nothing is private.`);
}

/** What the sum is divided by may not depend on who takes part; a sampled cohort's size does. */
function readDenominator(value: PlanValues, sampling: PrivateSampling, train: Sampling): number | null {
  const key = `${PREFIX}denominator`;
  const given = value.find(key) === undefined ? null : positive(value, 'denominator', undefined);
  if (given !== null) return given;
  if (sampling.kind === 'none') return null;
  if (sampling.kind === 'fixed') return sampling.size;
  const expected = sampling.rate * train.minAvailable;
  if (expected >= 1) return expected;
  throw refused(
    'min-available-nodes',
    `is ${train.minAvailable}: fraction-train × min-available-nodes = ${sampling.rate} × ${train.minAvailable} = ${expected} node is expected in a round, and sums are divided by that. Set it to the number of nodes there are, or set ${key}.`,
  );
}

function positive(value: PlanValues, name: string, otherwise: number | undefined): number {
  const key = `${PREFIX}${name}`;
  if (otherwise === undefined && value.find(key) === undefined)
    throw refused(key, 'is missing; a private run needs it.');
  const number = value.real(key, 0, 1e12, otherwise ?? 0);
  if (number > 0) return number;
  throw refused(key, `is ${number}; it must be more than 0.`);
}

/** What its owner should know beforehand. */
export function privacyNotes(
  { sampling, denominator, clip, tree }: PrivacyPlan,
  train: Sampling,
  evaluation: 'off' | 'clear' | 'unasked',
  rounds: number,
): string[] {
  const measured = {
    clear: 'metrics of evaluation, and who is online, travel in the clear',
    off: 'who is online travels in the clear',
    unasked: `who is online travels in the clear; nodes evaluate nothing (${PREFIX}evaluation = "clear" collects means of what they measure, which no ε covers)`,
  }[evaluation];
  const notes = [
    `private: each node's update is clipped to L2 norm ${clip}; the promise covers the model only: ${measured}; metrics of training are not kept`,
  ];
  if (tree !== undefined) notes.push(treeNote(tree, rounds));
  if (sampling.kind === 'poisson')
    notes.push(
      `each of the nodes online is selected with chance ${sampling.rate}; sums are divided by ${denominator}, whoever is (min-train-nodes does not apply, min-available-nodes = ${train.minAvailable} must be online)`,
    );
  if (sampling.kind === 'fixed')
    notes.push(
      `${sampling.size} nodes are selected in secret, accounted as ${sampling.size} of ${sampling.population}: one node replaced by another moves the sum by twice the clip`,
    );
  return notes;
}
