// Where the values of a plan come from, and which keys there are. Strongest first: what `flwr run` overrides, what was captured, the
// app's own config. For `aegis.*` keys the app's config comes before the capture: nobody writes one there by accident.
import { AegisError } from '@aegis/errors';
import type { CapturedPlan, CapturedPrivacy } from './captured-plan.ts';
import { type ConfigEntry, type FlatConfig, integer, real, type Scalar, showScalar, text } from './scalar.ts';

/** Keys with a fixed name, Flower's first. */
const flowerKeys = [
  'num-server-rounds',
  'fraction-train',
  'fraction-evaluate',
  'min-train-nodes',
  'min-evaluate-nodes',
  'min-available-nodes',
  'weighted-by-key',
  'arrayrecord-key',
  'configrecord-key',
] as const;
const aegisKeys = [
  'aegis.strategy',
  'aegis.records',
  'aegis.initial-model',
  'aegis.selection.over-select',
  'aegis.selection.min-report',
  'aegis.selection.deadline',
  'aegis.selection.sampling',
  'aegis.evaluate.every',
  'aegis.join',
  'aegis.consent.purpose',
  'aegis.consent.version',
  'aegis.privacy.unit',
  'aegis.privacy.epsilon',
  'aegis.privacy.delta',
  'aegis.privacy.dataset',
  'aegis.privacy.partition',
  'aegis.privacy.clip',
  'aegis.privacy.clip-max',
  'aegis.privacy.adaptive-clip',
  'aegis.privacy.noise-multiplier',
  'aegis.privacy.weight-max',
  'aegis.privacy.denominator',
  'aegis.privacy.mechanism',
  'aegis.privacy.max-participations',
  'aegis.privacy.tree-restart-every',
  'aegis.privacy.evaluation',
  'aegis.secagg.mode',
  'aegis.secagg.clip',
  'aegis.secagg.own-clips',
  'aegis.secagg.norm-clip',
  'aegis.secagg.value-bits',
  'aegis.secagg.weight-max',
  'aegis.secagg.max-examples',
  'aegis.secagg.metrics',
  'aegis.secagg.dropouts',
  'aegis.secagg.colluders',
  'aegis.secagg.stage-seconds',
  'aegis.secagg.num-shares',
  'aegis.secagg.reconstruction-threshold',
  'aegis.secagg.max-weight',
  'aegis.secagg.clipping-range',
  'aegis.secagg.quantization-range',
  'aegis.secagg.modulus-range',
] as const;
export const TRAIN_CONFIG = 'aegis.train-config.';
export const EVALUATE_CONFIG = 'aegis.evaluate-config.';
export const isAegisKey = (key: string): boolean => key === 'aegis' || key.startsWith('aegis.');

export const isFlowerKey = (key: string): boolean => (flowerKeys as readonly string[]).includes(key);

/** Refuses a key that nobody would read, naming the nearest that somebody does. */
export function checkVocabulary(appConfig: FlatConfig, overrides: FlatConfig): void {
  for (const key of [...appConfig.keys(), ...overrides.keys()]) {
    if (!isAegisKey(key) || aegisKeys.includes(key as (typeof aegisKeys)[number])) continue;
    if ([TRAIN_CONFIG, EVALUATE_CONFIG].some((prefix) => key.startsWith(prefix) && key.length > prefix.length))
      continue;
    throw refused(
      key,
      `is not a key of ours; the nearest is ${nearest(key, [...aegisKeys, `${TRAIN_CONFIG}KEY`, `${EVALUATE_CONFIG}KEY`])}.`,
    );
  }
  for (const key of overrides.keys()) {
    if (isAegisKey(key) || appConfig.has(key) || isFlowerKey(key)) continue;
    throw refused(
      key,
      `is set for this run, but the app's config does not have it; the nearest is ${nearest(key, [...appConfig.keys(), ...flowerKeys])}.`,
    );
  }
}

/** One key from the strongest source that has it. */
export class PlanValues {
  private readonly appConfig: FlatConfig;
  private readonly overrides: FlatConfig;
  private readonly captured: FlatConfig;

  constructor(appConfig: FlatConfig, overrides: FlatConfig, captured: FlatConfig) {
    this.appConfig = appConfig;
    this.overrides = overrides;
    this.captured = captured;
  }

  find(key: string): Scalar | undefined {
    if (isAegisKey(key)) return this.overrides.get(key) ?? this.appConfig.get(key) ?? this.captured.get(key);
    return this.overrides.get(key) ?? this.captured.get(key) ?? this.appConfig.get(key);
  }

  /** Some source has a key that begins so. */
  mentions(prefix: string): boolean {
    return this.named(prefix).length > 0;
  }

  /** Keys that begin so, of any source. */
  named(prefix: string): string[] {
    const sources = [this.overrides, this.appConfig, this.captured];
    return sources.flatMap((source) => [...source.keys()].filter((key) => key.startsWith(prefix)));
  }

  text(key: string, otherwise: string): string {
    const found = this.find(key);
    if (found === undefined) return otherwise;
    return found.kind === 'text' ? found.value : this.fail(key, found, 'a text');
  }

  flag(key: string, otherwise: boolean): boolean {
    const found = this.find(key);
    if (found === undefined) return otherwise;
    return found.kind === 'flag' ? found.value : this.fail(key, found, 'true or false');
  }

  /** `otherwise` undefined: the key is required. */
  integer(key: string, least: number, most: number, otherwise: number | undefined): number {
    const found = this.find(key);
    if (found === undefined) {
      if (otherwise === undefined) throw refused(key, 'is missing, and no imported plan gives it.');
      return otherwise;
    }
    const value = found.kind === 'integer' ? Number(found.value) : this.fail(key, found, 'an integer');
    return value >= least && value <= most ? value : this.fail(key, found, `from ${least} to ${most}`);
  }

  real(key: string, least: number, most: number, otherwise: number): number {
    const found = this.find(key);
    if (found === undefined) return otherwise;
    const value =
      found.kind === 'integer' || found.kind === 'real' ? Number(found.value) : this.fail(key, found, 'a number');
    return value >= least && value <= most ? value : this.fail(key, found, `from ${least} to ${most}`);
  }

  below(prefix: string): ConfigEntry[] {
    return [...new Map([...this.appConfig, ...this.overrides])]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => ({ key: key.slice(prefix.length), value }));
  }

  private fail(key: string, found: Scalar, wanted: string): never {
    throw refused(key, `is ${showScalar(found)}; it must be ${wanted}.`);
  }
}

/** `masking`: what the run itself says of it. An app that was captured with Flower's SecAgg+ is masked by that unless it says otherwise. */
export const capturedValues = (known: CapturedPlan, masking: Scalar | undefined): FlatConfig =>
  new Map<string, Scalar>([
    ...(masking === undefined || masking.value === 'flower' ? secaggValues(known.secagg) : []),
    ['num-server-rounds', integer(known.rounds)],
    ['fraction-train', real(known.fractionTrain)],
    ['fraction-evaluate', real(known.fractionEvaluate)],
    ['min-train-nodes', integer(known.minTrainNodes)],
    ['min-evaluate-nodes', integer(known.minEvaluateNodes)],
    ['min-available-nodes', integer(known.minAvailableNodes)],
    ['weighted-by-key', text(known.weightedByKey)],
    ['arrayrecord-key', text(known.arrayRecordKey)],
    ['configrecord-key', text(known.configRecordKey)],
    ['aegis.strategy', text(known.strategy)],
    ['aegis.records', text(known.records)],
    ...privacyValues(known.privacy),
  ]);

const secaggValues = (settings: readonly ConfigEntry[]): [string, Scalar][] =>
  settings.length === 0
    ? []
    : [
        ['aegis.secagg.mode', text('flower')],
        ...settings.map(({ key, value }): [string, Scalar] => [`aegis.secagg.${key}`, value]),
      ];

/** A wrapper's settings are a private plan's, as far as they go: its budget is the run's own to say. */
const privacyValues = (privacy: CapturedPrivacy | null): [string, Scalar][] =>
  privacy === null
    ? []
    : [
        ['aegis.privacy.unit', text('node')],
        ['aegis.privacy.clip', real(privacy.clip)],
        ['aegis.privacy.noise-multiplier', real(privacy.noiseMultiplier)],
        ['aegis.privacy.denominator', real(privacy.denominator)],
        ...(privacy.adaptiveClip === null
          ? []
          : [['aegis.privacy.adaptive-clip', real(privacy.adaptiveClip)] satisfies [string, Scalar]]),
      ];

function nearest(key: string, known: readonly string[]): string {
  let best = known[0] ?? '';
  for (const candidate of known) if (distance(key, candidate) < distance(key, best)) best = candidate;
  return quote(best);
}

/** Levenshtein */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

export const quote = (value: string): string => JSON.stringify(value);
export const refused = (field: string, why: string): AegisError => new AegisError('PLAN_INVALID', `${field} ${why}`);
