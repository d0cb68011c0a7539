// How a run masks what its nodes answer: the keys `aegis.secagg.*`. What needs the model or the core's arithmetic is checked by
// flows/plan-secagg.ts, before anything leaves as well.
import type { Sampling } from './cohort.ts';
import { FLOWER_KEYS } from './flower-secagg/plan.ts';
import type { MaskedGrid, MaskedMetric } from './masking.ts';
import { type PlanValues, quote, refused } from './plan-values.ts';
import type { PrivacyPlan } from './privacy-plan.ts';

export interface SecaggPlan {
  readonly mode: 'aegis';
  /** With the metrics of all kinds of tasks: {@link gridOf} has those of one. */
  readonly grid: MaskedGrid;
  /** Metrics that nodes report in tasks of one kind alone. */
  readonly onlyIn: readonly { readonly metric: string; readonly kind: MaskedKind }[];
  /** Fractions of a cohort that may drop out, and that may work with the server, without harm. */
  readonly dropouts: number;
  readonly colluders: number;
  /** How long the answers of one stage are waited for. */
  readonly stageSeconds: number;
  /** Of a private run: what each node adds in training. Fixed before the run begins, for the smallest cohort there may be. */
  readonly noise?: DistributedNoise | undefined;
}

/** In steps of the grid; the arithmetic is the core's. */
export interface DistributedNoise {
  /** Honest nodes whose shares are in every sum that may be opened. */
  readonly parties: number;
  /** σ of one node's share. */
  readonly localSigma: number;
  readonly dimension: number;
  /** Sensitivity of the rounded integers. */
  readonly l1: number;
  readonly l2: number;
}

type MaskedKind = 'train' | 'evaluate';

/** The grid of one kind of task: an evaluation has no arrays, and a metric that its nodes do not report would end each of its tasks. */
export const gridOf = ({ grid, onlyIn, noise }: SecaggPlan, kind: string): MaskedGrid => ({
  ...grid,
  ...(kind === 'train' && noise !== undefined && { noiseSigma: noise.localSigma }),
  ownClips: kind === 'train' ? grid.ownClips : [],
  metrics: grid.metrics.filter(({ name }) => !onlyIn.some((one) => one.metric === name && one.kind !== kind)),
});

const PREFIX = 'aegis.secagg.';
/** Twice what one round of training changes in most models; 16 bits make steps of 1/4096 of it. */
const DEFAULT_CLIP = 8;
const DEFAULT_VALUE_BITS = 16;
/** One node of five; with these two every cohort from 4 nodes on can be planned. */
const DEFAULT_DROPOUTS = 0.2;
const DEFAULT_COLLUDERS = 0.1;
const DEFAULT_STAGE_SECONDS = 30;
const MOST_METRICS = 100;

/** Null: answers travel in the clear. `key` names of the plan that a masked run cannot have are refused. */
export function readSecagg(
  value: PlanValues,
  train: Sampling,
  beside: { readonly privacy: PrivacyPlan | undefined; readonly firstFromNode: boolean },
): SecaggPlan | null {
  const key = `${PREFIX}mode`;
  const mode = value.text(key, 'off');
  if (mode !== 'aegis' && mode !== 'off')
    throw refused(key, `is ${quote(mode)}; it must be "off", "aegis" or "flower".`);
  if (mode === 'off') {
    const set = value.named(PREFIX).find((name) => name !== key);
    if (set === undefined) return null;
    throw refused(set, `says how answers are masked, but ${key} is "off": say ${key} = "aegis", or leave it out.`);
  }
  const other = FLOWER_KEYS.map((name) => `${PREFIX}${name}`).find((name) => value.find(name) !== undefined);
  if (other !== undefined)
    throw refused(other, `is a setting of Flower's SecAgg+, but ${key} is "aegis": leave it out.`);
  refuseWithMasks(value, train, beside);
  const weightMax = value.integer(`${PREFIX}weight-max`, 1, 2 ** 32, 1);
  const metrics = readMetrics(value);
  const { privacy } = beside;
  if (privacy !== undefined) refuseWithNoise(value, privacy, weightMax, metrics);
  return {
    mode,
    grid: {
      // no element of an update is longer than the whole
      clip: positive(value, 'clip', privacy?.clip ?? DEFAULT_CLIP),
      ownClips: readClips(value),
      metrics: metrics.map(({ name, low, high }) => ({ name, low, high })),
      valueBits: value.integer(`${PREFIX}value-bits`, 2, 32, DEFAULT_VALUE_BITS),
      weightMax,
      maxExamples: readMaxExamples(value, weightMax),
      normClip: value.find(`${PREFIX}norm-clip`) === undefined ? (privacy?.clip ?? 0) : positive(value, 'norm-clip', 0),
    },
    onlyIn: metrics.flatMap(({ name, kind }) => (kind === undefined ? [] : [{ metric: name, kind }])),
    dropouts: fraction(value, 'dropouts', DEFAULT_DROPOUTS),
    colluders: fraction(value, 'colluders', DEFAULT_COLLUDERS),
    stageSeconds: value.real(`${PREFIX}stage-seconds`, 1, 3600, DEFAULT_STAGE_SECONDS),
  };
}

/** What needs to see single answers, or leaves those behind that would have come. */
function refuseWithMasks(
  value: PlanValues,
  train: Sampling,
  { firstFromNode }: { readonly firstFromNode: boolean },
): void {
  const masked = `${PREFIX}mode is "aegis"`;
  if (value.flag('aegis.join', false))
    throw refused(
      'aegis.join',
      `is true, and ${masked}: a client without identity has no key that others could check.`,
    );
  if (firstFromNode)
    throw refused(
      'aegis.initial-model',
      `is "node", and ${masked}: what that node sends would travel in the clear. Import a first model, or name a stored one.`,
    );
  if (value.find('aegis.selection.min-report') !== undefined)
    throw refused(
      'aegis.selection.min-report',
      `has no place where ${masked}: who is not waited for counts as dropped out. The fewest answers are the cohort less ${PREFIX}dropouts.`,
    );
  if (train.overSelect > 1)
    throw refused(
      'aegis.selection.over-select',
      `is ${train.overSelect}, and ${masked}: who is asked and not waited for counts as dropped out. Leave it at 1, and plan for ${PREFIX}dropouts.`,
    );
}

/** What needs to see single updates, and what the noise that nodes add does not cover. */
function refuseWithNoise(
  value: PlanValues,
  privacy: PrivacyPlan,
  weightMax: number,
  metrics: readonly (MaskedMetric & { readonly kind: MaskedKind | undefined })[],
): void {
  const both = `the run is private, and ${PREFIX}mode is "aegis"`;
  if (privacy.sampling.kind !== 'none')
    throw refused(
      'aegis.selection.sampling',
      `is ${quote(privacy.sampling.kind)}, and ${both}: nodes learn from the roster who was selected, so a secret cohort earns nothing. Leave it at "none".`,
    );
  if (privacy.tree !== undefined)
    throw refused(
      'aegis.privacy.mechanism',
      `is "tree", and ${both}: the noise of a tree is the server's, which here sees no sum without noise.`,
    );
  if (privacy.adaptive !== null)
    throw refused('aegis.privacy.adaptive-clip', `is set, and ${both}: nobody sees whether an update was clipped.`);
  if (weightMax > 1 || privacy.weightMax !== null)
    throw refused(
      weightMax > 1 ? `${PREFIX}weight-max` : 'aegis.privacy.weight-max',
      `is set, and ${both}: all updates count alike there. Leave it out.`,
    );
  if (value.find(`${PREFIX}norm-clip`) !== undefined)
    throw refused(`${PREFIX}norm-clip`, `is set, and ${both}: aegis.privacy.clip = ${privacy.clip} is the L2 clip.`);
  if (value.find(`${PREFIX}own-clips`) !== undefined)
    throw refused(`${PREFIX}own-clips`, `is set, and ${both}: noise needs one step size for all arrays.`);
  const open = metrics.find(({ kind }) => kind !== 'evaluate');
  if (open !== undefined)
    throw refused(
      `${PREFIX}metrics`,
      `has ${quote(open.name)} for training, and ${both}: a metric has no noise, and nothing accounts for it. Say "${open.name}:${open.low}:${open.high}:evaluate", or leave it out.`,
    );
}

function readMaxExamples(value: PlanValues, weightMax: number): number {
  const key = `${PREFIX}max-examples`;
  if (value.find(key) !== undefined) {
    const most = value.integer(key, 1, 2 ** 53, undefined);
    if (weightMax > 1) return most;
    throw refused(key, `is ${most}, but with ${PREFIX}weight-max = 1 all answers weigh the same: set weight-max too.`);
  }
  if (weightMax === 1) return 0;
  throw refused(
    key,
    `is missing: with ${PREFIX}weight-max = ${weightMax} it says how many examples weigh ${weightMax}; a node with more takes no part.`,
  );
}

/** `accuracy:0:1,train_loss:0:10:train` */
function readMetrics(value: PlanValues): (MaskedMetric & { readonly kind: MaskedKind | undefined })[] {
  const key = `${PREFIX}metrics`;
  const metrics = listed(value, key).map((item) => {
    const [, metric = '', kind] = /^(.*?)(?::(train|evaluate))?$/.exec(item) ?? [];
    const [, name = '', low = '', high = ''] = /^(.+):([^:]+):([^:]+)$/.exec(metric) ?? [];
    const range = [numberOf(low), numberOf(high)];
    if (name === '' || range.some(Number.isNaN) || !((range[0] as number) < (range[1] as number)))
      throw refused(key, `has ${quote(item)}; say NAME:LOW:HIGH, as in "accuracy:0:1,loss:0:10".`);
    return { name, low: range[0] as number, high: range[1] as number, kind: kind as MaskedKind | undefined };
  });
  refuseTwice(
    key,
    metrics.map(({ name }) => name),
  );
  const weight = value.text('weighted-by-key', 'num-examples');
  if (metrics.some(({ name }) => name === weight))
    throw refused(key, `has ${quote(weight)}, which travels as the weight: leave it out.`);
  if (metrics.length > MOST_METRICS) throw refused(key, `has ${metrics.length} metrics; the limit is ${MOST_METRICS}.`);
  return metrics;
}

/** `bn.num_batches_tracked:1000` */
function readClips(value: PlanValues): MaskedGrid['ownClips'] {
  const key = `${PREFIX}own-clips`;
  const clips = listed(value, key).map((item) => {
    const [, tensor = '', range = ''] = /^(.+):([^:]+)$/.exec(item) ?? [];
    if (tensor !== '' && numberOf(range) > 0) return { tensor, clip: numberOf(range) };
    throw refused(
      key,
      `has ${quote(item)}; say ARRAY:RANGE with a range above 0, as in "bn.num_batches_tracked:1000".`,
    );
  });
  refuseTwice(
    key,
    clips.map(({ tensor }) => tensor),
  );
  return clips;
}

const listed = (value: PlanValues, key: string): string[] =>
  value
    .text(key, '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

const numberOf = (text: string): number => (/^-?[\d.]+(e-?\d+)?$/i.test(text.trim()) ? Number(text) : Number.NaN);

function refuseTwice(key: string, names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw refused(key, `has ${quote(twice)} twice.`);
}

function fraction(value: PlanValues, name: string, otherwise: number): number {
  const found = value.real(`${PREFIX}${name}`, 0, 1, otherwise);
  if (found < 1) return found;
  throw refused(`${PREFIX}${name}`, 'is 1; it must be below 1: somebody has to be left.');
}

function positive(value: PlanValues, name: string, otherwise: number): number {
  const number = value.real(`${PREFIX}${name}`, 0, 1e12, otherwise);
  if (number > 0) return number;
  throw refused(`${PREFIX}${name}`, `is ${number}; it must be more than 0.`);
}

/** What its owner should know beforehand. */
export function secaggNotes({ grid, dropouts, colluders }: SecaggPlan): string[] {
  const weights =
    grid.weightMax === 1
      ? 'all answers weigh the same'
      : `answers weigh 1 to ${grid.weightMax}, ${grid.maxExamples} examples the most`;
  const metrics =
    grid.metrics.length === 0
      ? 'no metric leaves a node (aegis.secagg.metrics)'
      : `of the metrics ${grid.metrics.map(({ name }) => name).join(', ')} travels, inside the sum`;
  return [
    `masked: the server opens sums only; ${weights}; ${metrics}; up to ${percent(dropouts)} of a cohort may drop out, ${percent(colluders)} may work with the server`,
  ];
}

const percent = (share: number): string => `${Number((share * 100).toPrecision(3))} %`;
