import { AegisError } from '@aegis/errors';

/**
 * How often each event happened or may happen, by its canonical text without the count: a bag. The ledger adds bags and never epsilons;
 * an epsilon is derived from a bag when somebody asks.
 */
export type Charges = ReadonlyMap<string, number>;

export const noCharges: Charges = new Map();

/** One event alone may be charged so often. */
const MOST = 1_000_000_000;

export const plus = (a: Charges, b: Charges): Charges => {
  if (b.size === 0) return a;
  const sum = new Map(a);
  for (const [event, count] of b) sum.set(event, (sum.get(event) ?? 0) + count);
  return sum;
};

/** What is left of `a`; undefined when `b` is not within it. */
export const minus = (a: Charges, b: Charges): Charges | undefined => {
  if (b.size === 0) return a;
  const rest = new Map(a);
  for (const [event, count] of b) {
    const left = (rest.get(event) ?? 0) - count;
    if (left < 0) return undefined;
    if (left === 0) rest.delete(event);
    else rest.set(event, left);
  }
  return rest;
};

export const times = (a: Charges, factor: number): Charges =>
  new Map([...a].map(([event, count]) => [event, count * factor]));

export const sameCharges = (a: Charges, b: Charges): boolean =>
  a.size === b.size && [...a].every(([event, count]) => b.get(event) === count);

/** In an order that does not depend on how it came about. */
export const sortedCharges = (a: Charges): [string, number][] =>
  [...a].sort(([x], [y]) => (x < y ? -1 : x > y ? 1 : 0));

/** With the count in it again, as the vocabulary has it. */
export const eventTexts = (charges: Charges): string[] =>
  sortedCharges(charges).map(([event, count]) => JSON.stringify({ ...JSON.parse(event), count }));

/** Reads events as callers write them: canonical form, the count taken out, the unit filled in. Whether a mechanism is known, the core says. */
export function readEvents(texts: readonly string[], unit: string): Charges {
  let charges: Charges = noCharges;
  for (const [at, text] of texts.entries()) charges = plus(charges, readEvent(text, unit, `event ${at + 1}`));
  for (const [, count] of charges)
    if (count > MOST) refuse(`one event is there ${count} times; at most ${MOST} are counted.`);
  return charges;
}

function readEvent(text: string, unit: string, which: string): Charges {
  if (text.length > 4096) refuse(`${which} is ${text.length} characters long; at most 4096 are read.`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    refuse(`${which} is not JSON.`);
  }
  if (!isObject(value)) refuse(`${which} is not an object.`);
  const { count = 1, unit: named = unit, ...rest } = value;
  if (typeof count !== 'number' || !Number.isInteger(count) || count < 1 || count > MOST)
    refuse(`${which}: count must be a whole number from 1 to ${MOST}.`);
  if (named !== unit) refuse(`${which}: its unit is ${JSON.stringify(named)}, the policy's ${JSON.stringify(unit)}.`);
  if (typeof rest.relation !== 'string' || rest.relation === '')
    refuse(`${which}: relation is missing; say add-or-remove-one, replace-one or zero-out.`);
  return new Map([[canonical({ ...rest, unit }, which), count]]);
}

/** Keys sorted at every depth; numbers as JavaScript writes them, so that 1, 1.0 and 1e0 are one number. */
function canonical(value: unknown, which: string, depth = 0): string {
  if (depth > 8) refuse(`${which} is nested too deeply.`);
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, which, depth + 1)).join(',')}]`;
  if (isObject(value)) {
    const keys = Object.keys(value).sort();
    return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key], which, depth + 1)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

const NOISE = 'noise-multiplier';

/** null: it has none yet. */
export const noiseOf = (event: string): number | null => {
  const noise = (JSON.parse(event) as Record<string, unknown>)[NOISE];
  return typeof noise === 'number' ? noise : null;
};

/** The event with this much noise instead. */
export const withNoise = (event: string, noise: number): string =>
  canonical({ ...JSON.parse(event), [NOISE]: noise }, 'event');

/**
 * What an event is but for its noise. The shares of one more node are more noise and nothing else, where each is 4 grid steps or more: the sum is
 * then as good as a discrete Gaussian (docs/privacy-events.md), and the noise multiplier says all.
 */
export const shapeOf = (event: string): string => {
  const { [NOISE]: _noise, parties, ...rest } = JSON.parse(event) as Record<string, unknown>;
  const isSmooth = Number(rest['local-grid-sigma']) >= LEAST_SMOOTH_SHARE;
  return canonical({ ...rest, ...(parties !== undefined && !isSmooth && { parties }) }, 'event');
};

const LEAST_SMOOTH_SHARE = 4;

export const relationOf = (event: string): string => (JSON.parse(event) as { relation: string }).relation;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function refuse(detail: string): never {
  throw new AegisError('PRIVACY_EVENT_INVALID', detail);
}
