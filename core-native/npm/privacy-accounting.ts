/**
 * Privacy accounting: what a list of events costs. The formulas are the core's; docs/privacy.md names their sources.
 *
 * A refused event is PRIVACY_EVENT with `row` and `field`; a δ or ε that makes no sense is PRIVACY_PARAMETER; PRIVACY_UNBOUNDED says that no
 * finite ε can be shown, PRIVACY_UNREACHABLE that no noise is enough.
 */

import type { RawPrivacyAccountant, RawPrivacyEpsilon } from './binding.ts';
import { binding } from './binding.ts';
import { awaiting, calling } from './core-error.ts';

export type PrivacyMechanism =
  | 'gaussian'
  | 'discrete-gaussian'
  | 'distributed-discrete-gaussian'
  | 'skellam'
  | 'laplace'
  | 'tree';

export type PrivacySampling = { kind: 'none' } | { kind: 'poisson' | 'without-replacement'; rate: number };

export type PrivacyRelation = 'add-or-remove-one' | 'replace-one' | 'zero-out';

export type PrivacyUnit = 'node' | 'user' | 'example';

/**
 * `count` (1) releases of one kind, as JSON spells it everywhere. The noise multiplier is σ over the clip of one unit under every relation: what
 * replace-one doubles is doubled by the accounting. All events of a list have one relation and one unit (`node`).
 */
export interface PrivacyEvent {
  mechanism: PrivacyMechanism;
  'noise-multiplier': number;
  sampling?: PrivacySampling;
  relation: PrivacyRelation;
  count?: number;
  unit?: PrivacyUnit;
  /** discrete-gaussian: σ in grid steps. */
  'grid-sigma'?: number;
  /** skellam, distributed-discrete-gaussian: L1 and L2 bounds of a unit's rounded integers. */
  'grid-l1'?: number;
  'grid-l2'?: number;
  /** distributed-discrete-gaussian */
  parties?: number;
  'local-grid-sigma'?: number;
  dimension?: number;
  /** tree */
  steps?: number | number[];
  epochs?: number;
}

/** An event whose noise is looked for. Rows that name a noise multiplier keep it. */
export type PrivacyEventWithoutNoise = Omit<PrivacyEvent, 'noise-multiplier'> & { 'noise-multiplier'?: number };

export type PrivacyMethod = 'analytic-gaussian' | 'rdp' | 'pld' | 'pure';

/** `epsilon` is never below the true one, `lower` never above it. */
export interface PrivacyCost {
  epsilon: number;
  lower: number;
  delta: number;
  method: PrivacyMethod;
  /** The Rényi order, where the method has one. */
  order?: number;
}

/** quick: Rényi and closed forms. tight (the default): the smallest bound of all methods. */
export type PrivacyEffort = 'quick' | 'tight';

export interface PrivacyOptions {
  effort?: PrivacyEffort;
}

/** Events, or the text of a file of them: numbers then keep the form they are written in (a count of `1.5e3` is refused). */
type Events<Event> = readonly Event[] | string;

const asText = (events: Events<unknown>): string => (typeof events === 'string' ? events : JSON.stringify(events));

const cost = ({ method, ...raw }: RawPrivacyEpsilon): PrivacyCost => ({ ...raw, method: method as PrivacyMethod });

/** The events in canonical form, every field written out. PRIVACY_EVENT if one of them has no proven accounting. */
export function checkEvents(events: Events<PrivacyEvent>): PrivacyEvent[] {
  return JSON.parse(calling(() => binding.privacyCheckEvents(asText(events)))) as PrivacyEvent[];
}

export async function epsilonOf(
  events: Events<PrivacyEvent>,
  delta: number,
  { effort }: PrivacyOptions = {},
): Promise<PrivacyCost> {
  return cost(await awaiting(() => binding.privacyEpsilon(asText(events), delta, effort)));
}

export async function deltaOf(
  events: Events<PrivacyEvent>,
  epsilon: number,
  { effort }: PrivacyOptions = {},
): Promise<{ delta: number; epsilon: number; method: PrivacyMethod; order?: number }> {
  const found = await awaiting(() => binding.privacyDelta(asText(events), epsilon, effort));
  return { ...found, method: found.method as PrivacyMethod };
}

/**
 * The smallest noise multiplier with which the events stay within (ε, δ): of the rows that have none, or of all rows if each has one.
 * `spent.epsilon` is at most the ε that was asked for.
 */
export async function sigmaFor(
  events: Events<PrivacyEventWithoutNoise>,
  { epsilon, delta }: { epsilon: number; delta: number },
  { effort }: PrivacyOptions = {},
): Promise<{ noiseMultiplier: number; spent: PrivacyCost }> {
  const found = await awaiting(() => binding.privacySigma(asText(events), epsilon, delta, effort));
  return { noiseMultiplier: found.noiseMultiplier, spent: cost(found.spent) };
}

/** How often the whole list can happen within (ε, δ); `spent` is what that costs, and missing when it cannot happen once. */
export async function roundsFor(
  events: Events<PrivacyEvent>,
  { epsilon, delta }: { epsilon: number; delta: number },
  { effort }: PrivacyOptions = {},
): Promise<{ rounds: number; spent?: PrivacyCost }> {
  const found = await awaiting(() => binding.privacyRounds(asText(events), epsilon, delta, effort));
  return found.spent ? { rounds: found.rounds, spent: cost(found.spent) } : { rounds: found.rounds };
}

/**
 * Asked after every round: it keeps what it has computed, so that one more round costs microseconds, on the event loop. Its answers are
 * those of the quick methods. Its state is its events, as JSON.
 */
export class PrivacyAccountant {
  readonly #raw: RawPrivacyAccountant;

  private constructor(raw: RawPrivacyAccountant) {
    this.#raw = raw;
  }

  static of(events: readonly PrivacyEvent[] = []): PrivacyAccountant {
    return new PrivacyAccountant(calling(() => binding.PrivacyAccountant.create(JSON.stringify(events))));
  }

  /** Adds the events, `times` over: all of them or, refused, none. */
  compose(events: readonly PrivacyEvent[], times = 1): void {
    calling(() => this.#raw.compose(JSON.stringify(events), times));
  }

  epsilon(delta: number): PrivacyCost {
    return cost(calling(() => this.#raw.epsilon(delta)));
  }

  /** A copy that goes its own way: what would one more round cost? */
  fork(): PrivacyAccountant {
    return new PrivacyAccountant(calling(() => this.#raw.fork()));
  }

  /** What was composed, equal events summed up; {@link PrivacyAccountant.of} brings it back. */
  events(): PrivacyEvent[] {
    return JSON.parse(calling(() => this.#raw.events())) as PrivacyEvent[];
  }
}
