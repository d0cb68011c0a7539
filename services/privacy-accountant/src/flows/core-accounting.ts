import {
  CoreError,
  checkEvents,
  epsilonOf,
  filterAllowance,
  filterDivergence,
  filterEpsilon,
  filterOrder,
  PrivacyAccountant,
  type PrivacyEvent,
  type PrivacyEventWithoutNoise,
  sigmaFor,
} from '@aegis/core-native';
import { AegisError, type ErrorCode } from '@aegis/errors';
import { type Charges, eventTexts } from '../domain/charges.ts';
import type { Accounting } from './accounting.ts';

/** Answers of one kind that are kept: one for each kind of event and order, and a run has few kinds. */
const MOST_KEPT = 10_000;

/** What the core refuses, in the words of the suite. Anything not listed is a fault of ours. */
const fromCore: Record<string, ErrorCode> = {
  PRIVACY_EVENT: 'PRIVACY_EVENT_INVALID',
  PRIVACY_UNBOUNDED: 'PRIVACY_EVENT_INVALID',
  PRIVACY_PARAMETER: 'PRIVACY_POLICY_INVALID',
};

/** All formulas are the Rust core's; this remembers what is asked again and again. */
export function coreAccounting(): Accounting {
  const divergences = new Map<number, ReturnType<typeof remembering<number>>>();
  const allowances = remembering<number>();
  const spellings = remembering<string>();
  return {
    renyi: (event, order) => {
      const known = divergences.get(order) ?? remembering<number>();
      divergences.set(order, known);
      return known(event, () => filterDivergence(parse(event), order));
    },
    orderFor: (epsilon, delta) => inCore(() => filterOrder({ epsilon, delta })),
    allowance: (order, epsilon, delta) =>
      allowances(`${order} ${epsilon} ${delta}`, () => filterAllowance(order, { epsilon, delta })),
    epsilon: (order, spent, delta) => (spent === 0 ? 0 : inCore(() => filterEpsilon(order, spent, delta))),
    check: (texts) => {
      const together = spellings(texts.join('\n'), () => JSON.stringify(checkEvents(texts.map(parse))));
      return (JSON.parse(together) as PrivacyEvent[]).map((event) => JSON.stringify(event));
    },
    epsilonOf: async (events, delta) => {
      if (events.size === 0) return { epsilon: 0, lower: 0, method: '' };
      const { epsilon, lower, method } = await epsilonOf(listOf(events), delta).catch(refuse);
      return { epsilon, lower, method };
    },
    quickEpsilonOf: (events, delta) => {
      if (events.size === 0) return { epsilon: 0, lower: 0, method: '' };
      const { epsilon, lower, method } = inCore(() => PrivacyAccountant.of(listOf(events)).epsilon(delta));
      return { epsilon, lower, method };
    },
    noiseFor: async (texts, epsilon, delta) => {
      const events = texts.map((text) => JSON.parse(text) as PrivacyEventWithoutNoise);
      const found = await sigmaFor(events, { epsilon, delta }).catch((error: unknown) => {
        if (error instanceof CoreError && error.code === 'PRIVACY_UNREACHABLE') return null;
        return refuse(error);
      });
      return found?.noiseMultiplier ?? Number.POSITIVE_INFINITY;
    },
  };
}

/** What the core said about the same before; refusals are not kept. */
function remembering<T>(): (key: string, ask: () => T) => T {
  const kept = new Map<string, T>();
  return (key, ask) => {
    const known = kept.get(key);
    if (known !== undefined) return known;
    const answer = inCore(ask);
    if (kept.size >= MOST_KEPT) kept.clear();
    kept.set(key, answer);
    return answer;
  };
}

const parse = (text: string): PrivacyEvent => JSON.parse(text) as PrivacyEvent;
const listOf = (events: Charges): PrivacyEvent[] => eventTexts(events).map(parse);

function inCore<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    return refuse(error);
  }
}

function refuse(error: unknown): never {
  const code = error instanceof CoreError ? fromCore[error.code] : undefined;
  if (code === undefined) throw error;
  const facts = Object.entries((error as CoreError).detail).map(([name, value]) => `${name} ${value}`);
  const said = (error as CoreError).message.replace(/^[A-Z_]+: /, '');
  throw new AegisError(code, facts.length > 0 ? `${said} (${facts.join(', ')}).` : `${said}.`, error);
}
