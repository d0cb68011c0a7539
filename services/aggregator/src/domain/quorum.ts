// How many answers a round is closed with.
import { hidesCohort } from './private-round.ts';
import type { RoundState } from './round.ts';

/** Fewer answers than this are not put together. An evaluation takes what it gets. `asked`: how many nodes. */
export function neededOf({ kind, rules, masking, flower }: RoundState, asked: number): number {
  if (flower !== undefined) return flower.terms.threshold;
  if (masking !== undefined) return masking.minSurvivors;
  if (rules.privacy !== undefined) return 1;
  if (rules.minReport !== null || kind === 'evaluate') return rules.minReport ?? 1;
  return Math.max(Math.min(rules.sampling.minNodes, asked), 1);
}

/** This many close the round before everybody has answered. Who asks more nodes than wanted does not wait for all of them. */
export function enoughOf({ rules, wanted }: RoundState, asked: number): number {
  const { minReport, sampling } = rules;
  return minReport ?? (sampling.overSelect > 1 ? Math.max(wanted, 1) : asked);
}

/**
 * A private round closes with whatever came, and divides by what it promised to divide by. Only where who answers is public, and nobody
 * did, is there nothing to release: then what was reserved is given back, and a new cohort is reserved for anew. With a secret cohort a
 * second try would tell that the first was empty. Under masks fewer than the terms' survivors open nothing.
 */
export function mayClose(state: RoundState, asked: number, answers: number): boolean {
  const { privacy } = state.rules;
  return privacy === undefined || state.masking !== undefined
    ? answers >= neededOf(state, asked)
    : answers > 0 || hidesCohort(privacy);
}
