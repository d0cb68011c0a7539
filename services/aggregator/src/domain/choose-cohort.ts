// Of the nodes that are there, those a round may draw its cohort from.
import { sampleSize } from './cohort.ts';
import { drawOf, type RoundEffect, type RoundInput, type RoundState } from './round.ts';
import { tooFewLeft } from './tree-plan.ts';

type Draw = Omit<RoundEffect & { do: 'draw' }, 'do'>;

export type Choice =
  | { readonly kind: 'draw'; readonly draw: Draw }
  /** The plan's fraction of these nodes is none. */
  | { readonly kind: 'nobody' }
  /** `line` says whom it waits for, and who of those online does not count. */
  | { readonly kind: 'wait'; readonly needed: number; readonly line: string }
  /** However long it waited: too few may still take part. */
  | { readonly kind: 'never'; readonly reason: string };

const none: ReadonlySet<bigint> = new Set();

export function chooseCohort({ rules }: RoundState, nodes: RoundInput & { type: 'nodes' }): Choice {
  const { online, overdue = none, standingBack = none, worn = none } = nodes;
  const awake = [...online].filter((node) => !overdue.has(node));
  const apart = awake.filter((node) => !standingBack.has(node));
  const able = apart.filter((node) => !worn.has(node));
  const sample = sampleSize(able.length, rules.sampling);
  const { privacy } = rules;
  if (sample.kind === 'draw') {
    if (sample.size === 0 && privacy?.sampling.kind !== 'poisson') return { kind: 'nobody' };
    const draw = drawOf(rules, sample.size);
    return { kind: 'draw', draw: { from: able.sort(compare), draw, wanted: sample.wanted } };
  }
  const { needed } = sample;
  if (privacy?.tree !== undefined && apart.length >= needed)
    return { kind: 'never', reason: tooFewLeft(privacy.tree, { fresh: able.length, online: apart.length }) };
  const { unmasked = 0, unwilling = none } = nodes;
  const silent = online.size - awake.length;
  const others = [
    ...(silent === 0 ? [] : [`${silent} that did not answer their last task`]),
    ...(standingBack.size === 0 ? [] : [`${standingBack.size} more of the same users`]),
    ...(unwilling.size === 0 ? [] : [`${unwilling.size} that did not consent to it`]),
    ...(unmasked === 0 ? [] : [`${unmasked} that cannot mask: ${maskers(rules)} can`]),
  ];
  const without = others.length === 0 ? '' : ` (and ${others.join('; ')})`;
  return { kind: 'wait', needed, line: `waiting for nodes: ${able.length} online${without}, ${needed} needed` };
}

const maskers = ({ flower }: RoundState['rules']): string =>
  flower === undefined
    ? 'a guard with a signing certificate'
    : "a SuperNode without a guard, whose app has Flower's SecAgg+,";

const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
