import type { NodeKind } from './presence.ts';

/** May a node of this kind (undefined: it runs the app's own code) be given this work? */
export const suits = (
  kind: NodeKind | undefined,
  work: { firstModel: boolean; join: boolean /** The app itself masks what it answers. */; appMasks?: boolean },
): boolean =>
  work.appMasks ? kind === undefined : kind === 'native' ? !work.firstModel : kind === 'join' ? work.join : true;

/** Flower's sampling: max(int(n × fraction), min-nodes), never fewer nodes online than min-available-nodes. */
export interface Sampling {
  readonly fraction: number;
  readonly minNodes: number;
  readonly minAvailable: number;
  /** ≥ 1: asks this many times more nodes than are needed. */
  readonly overSelect: number;
}

export type Sample =
  | { readonly kind: 'wait'; readonly needed: number }
  | { readonly kind: 'draw'; readonly size: number /** Before over-selection. */; readonly wanted: number };

export function sampleSize(online: number, sampling: Sampling): Sample {
  const wanted = Math.max(Math.trunc(online * sampling.fraction), sampling.minNodes);
  const needed = Math.max(sampling.minAvailable, wanted, 1);
  if (online < needed) return { kind: 'wait', needed };
  return { kind: 'draw', size: Math.min(Math.ceil(wanted * sampling.overSelect), online), wanted };
}

/** The smallest cohort that `sampling` can lead to, for the check of a plan before any node is known. */
export function smallestCohort(sampling: Sampling): { online: number; wanted: number; size: number } {
  const online = Math.max(sampling.minAvailable, sampling.minNodes, 1);
  const sample = sampleSize(online, sampling);
  return sample.kind === 'draw' ? { online, wanted: sample.wanted, size: sample.size } : { online, wanted: 0, size: 0 };
}

/** The cohort of a Poisson round: each node is in with chance `rate`, whoever else is. `chance`: uniform in [0, 1), one for each. */
export const poissonCohort = (nodes: readonly bigint[], rate: number, chance: () => number): bigint[] =>
  nodes.filter(() => chance() < rate);
