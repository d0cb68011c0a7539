// How a run is masked by Flower's own SecAgg+: the keys `aegis.secagg.*` of `mode = "flower"`, by the names of `SecAggPlusWorkflow`.
import { AegisError } from '@aegis/errors';
import { type Sampling, smallestCohort } from '../cohort.ts';
import { type PlanValues, quote, refused } from '../plan-values.ts';
import type { RecordDialect } from '../record-dialect.ts';
import { type Amount, type FlowerSettings, termsFor } from './terms.ts';

export interface FlowerSecaggPlan {
  readonly settings: FlowerSettings;
  /** How long the answers of a stage without training are waited for; training has the round's own deadline. */
  readonly stageSeconds: number;
}

const PREFIX = 'aegis.secagg.';
export const FLOWER_KEYS = [
  'num-shares',
  'reconstruction-threshold',
  'max-weight',
  'clipping-range',
  'quantization-range',
  'modulus-range',
] as const;

/** Python starts anew on every node for every stage. */
const DEFAULT_STAGE_SECONDS = 120;
/** Flower's own defaults. */
const DEFAULTS = { maxWeight: 1000, clippingRange: 8, targetRange: 2 ** 22, modRange: 2 ** 32 };
/** The greatest that the core adds up below, see `FlowerSum`. */
const MOST_MODULUS = 2 ** 52;

export interface BesideFlower {
  readonly isPrivate: boolean;
  readonly dialect: RecordDialect;
}

/** PLAN_INVALID, with the key and the reason, for what Flower's SecAgg+ cannot have or cannot sum. */
export function readFlowerSecagg(value: PlanValues, train: Sampling, beside: BesideFlower): FlowerSecaggPlan {
  refuseBeside(value, train, beside);
  const modRange = value.integer(`${PREFIX}modulus-range`, 2, MOST_MODULUS, DEFAULTS.modRange);
  if (!Number.isInteger(Math.log2(modRange)))
    throw refused(`${PREFIX}modulus-range`, `is ${modRange}; it must be a power of two.`);
  const settings: FlowerSettings = {
    numShares: amount(value, 'num-shares') ?? { fraction: 1 },
    reconstructionThreshold: amount(value, 'reconstruction-threshold') ?? missing(),
    maxWeight: positive(value, 'max-weight', DEFAULTS.maxWeight),
    clippingRange: positive(value, 'clipping-range', DEFAULTS.clippingRange),
    targetRange: value.integer(`${PREFIX}quantization-range`, 1, 2 ** 31 - 1, DEFAULTS.targetRange),
    modRange,
  };
  checkSmallest(settings, train);
  return { settings, stageSeconds: value.real(`${PREFIX}stage-seconds`, 1, 604_800, DEFAULT_STAGE_SECONDS) };
}

function refuseBeside(value: PlanValues, train: Sampling, { isPrivate, dialect }: BesideFlower): void {
  const masked = `${PREFIX}mode is "flower"`;
  const known = [...FLOWER_KEYS, 'mode', 'stage-seconds'].map((name) => `${PREFIX}${name}`);
  const other = value.named(PREFIX).find((key) => !known.includes(key));
  if (other !== undefined) throw refused(other, `says how guards mask, but ${masked}: leave it out, or say "aegis".`);
  if (isPrivate)
    throw refused(
      `${PREFIX}mode`,
      'is "flower", and the run is private: nodes would not add the noise, and the server would see no single update to clip. Say "aegis", which needs guards, or "off".',
    );
  if (value.flag('aegis.join', false))
    throw refused('aegis.join', `is true, and ${masked}: Flower's SecAgg+ needs SuperNodes, which have an identity.`);
  if (dialect !== 'legacy')
    throw refused(
      'aegis.records',
      `is ${quote(dialect)}, and ${masked}: Flower's secaggplus_mod knows the records of legacy apps only (client_fn). An app that reads "fitins.*" and answers "fitres.*" by itself says "legacy".`,
    );
  if (value.find('aegis.selection.min-report') !== undefined)
    throw refused(
      'aegis.selection.min-report',
      `has no place where ${masked}: ${PREFIX}reconstruction-threshold says how many must be left.`,
    );
  if (train.overSelect > 1)
    throw refused(
      'aegis.selection.over-select',
      `is ${train.overSelect}, and ${masked}: who is asked and not waited for counts as dropped out. Leave it at 1.`,
    );
}

/** A whole number of nodes, or a fraction of the cohort (of its shares, for the threshold). */
function amount(value: PlanValues, name: string): Amount | null {
  const key = `${PREFIX}${name}`;
  const found = value.find(key);
  if (found === undefined) return null;
  if (found.kind === 'integer') return { count: value.integer(key, 1, 1_000_000, undefined) };
  const fraction = value.real(key, 0, 1, 1);
  if (fraction === 0) throw refused(key, 'is 0; as a fraction it must be above 0 and at most 1.');
  return { fraction };
}

function missing(): never {
  throw refused(
    `${PREFIX}reconstruction-threshold`,
    'is missing: say how many shares open a secret, as a number (3) or a fraction of the shares (0.6). `aegis app import` reads it from the SecAggPlusWorkflow of the app.',
  );
}

function positive(value: PlanValues, name: string, otherwise: number): number {
  const number = value.real(`${PREFIX}${name}`, 0, 2 ** 53, otherwise);
  if (number > 0) return number;
  throw refused(`${PREFIX}${name}`, `is ${number}; it must be more than 0.`);
}

/** What fails for the smallest cohort fails before anybody is asked; larger ones are looked at when they are drawn. */
function checkSmallest(settings: FlowerSettings, train: Sampling): void {
  const { size } = smallestCohort(train);
  try {
    termsFor(
      settings,
      Array.from({ length: size }, (_, at) => BigInt(at + 1)),
    );
  } catch (error) {
    const { detail } = AegisError.from(error);
    throw refused(
      `${PREFIX}mode`,
      `is "flower", and a round may select as few as ${size} nodes: ${detail} See min-train-nodes, ${PREFIX}num-shares and ${PREFIX}reconstruction-threshold.`,
    );
  }
}

/** What Flower's SecAgg+ does not protect against, whatever server it talks to. Said in the log of each such run, and where runs are shown. */
export const FLOWER_SECAGG_LIMITS = [
  'masks have 32 bits of entropy, 28 between two nodes: where neighbours are few they can be tried out',
  'keys are not signed and this server relays them: it could put its own in their place',
  'this server asks for the shares of masks itself: it could have one node opened',
  'the number of examples and the metrics of each node travel in the clear',
] as const;

export function flowerSecaggNotes({ settings }: FlowerSecaggPlan): string[] {
  const { numShares, reconstructionThreshold, clippingRange, maxWeight } = settings;
  return [
    `masked by Flower's own SecAgg+: ${shown(numShares, 'of the cohort')} shares of each secret, ${shown(reconstructionThreshold, 'of the shares')} open it, values clipped to ±${clippingRange}, ${maxWeight} examples the most; guards and clients other than SuperNodes are not asked`,
    `SecAgg+ keeps updates from being seen by accident, not from somebody who looks: ${FLOWER_SECAGG_LIMITS.join('; ')}`,
  ];
}

const shown = (amount: Amount, of: string): string =>
  'count' in amount ? String(amount.count) : `${Number((amount.fraction * 100).toPrecision(3))} % ${of}`;
