import { suits } from '../domain/cohort.ts';
import type { Plan } from '../domain/plan.ts';
import { standingBack } from '../domain/private-round.ts';
import type { RoundInput, RoundState } from '../domain/round.ts';
import { type Participation, wornOut } from '../domain/tree-plan.ts';
import type { Ground } from './ground.ts';

export interface TakingPart {
  readonly plan: Plan;
  /** Of the rounds before, under tree noise. */
  readonly participation: Participation;
}

/** Who is online, and of them who consents, can be asked, charged, masked, and has not taken part too often. */
export function nodesNow({ peers, random }: Ground, setting: TakingPart, state: RoundState): RoundInput {
  const { presence, consents } = peers;
  const kinds = presence.kinds();
  const work = {
    firstModel: state.kind === 'initial-model',
    join: setting.plan.join,
    appMasks: state.rules.flower !== undefined,
  };
  const isUnsuited = [...kinds.values()].some((kind) => !suits(kind, work));
  const online = presence.online();
  // who cannot be charged is not asked
  const { privacy } = setting.plan;
  const units = privacy === undefined ? null : presence.units(privacy.unit);
  // who cannot mask is not asked for what is to be masked
  const masks = state.rules.masked ? presence.masks() : null;
  // who does not consent is not asked, and not asked any longer
  const { consent } = setting.plan;
  const agreed = consent === undefined ? null : consents.agreed(consent, state.runId);
  const isAble = (node: bigint) =>
    suits(kinds.get(node), work) &&
    (agreed === null || agreed.has(node)) &&
    (units === null || units.has(node)) &&
    (masks === null || masks.has(node));
  const isLimited = isUnsuited || [agreed, units, masks].some((some) => some !== null);
  const suited = isLimited ? new Set([...online].filter(isAble)) : online;
  const cannotMask = (node: bigint) => (work.appMasks ? kinds.get(node) !== undefined : masks?.has(node) === false);
  const unmasked = work.appMasks || masks !== null ? [...online].filter(cannotMask).length : 0;
  const overdue = presence.overdue();
  const unwilling = agreed === null ? undefined : new Set([...online].filter((node) => !agreed.has(node)));
  const input = { type: 'nodes' as const, online: suited, overdue, unmasked, ...(unwilling && { unwilling }) };
  if (units === null) return input;
  const awake = state.stage !== 'selecting' ? [] : [...suited].filter((node) => !overdue.has(node));
  // whichever of a user's nodes: none is worn out
  const preferred = privacy?.unit === 'user' ? random.shuffle(awake) : awake;
  return { ...input, standingBack: standingBack(preferred, units), worn: wornNodes(suited, units, setting, state) };
}

/** Of these the nodes whose units may not be asked again, under tree noise. */
export function wornNodes(
  nodes: Iterable<bigint>,
  units: ReadonlyMap<bigint, string>,
  { participation }: TakingPart,
  { rules, asked }: RoundState,
): ReadonlySet<bigint> {
  const tree = rules.privacy?.tree;
  if (tree === undefined) return new Set();
  const worn = wornOut(tree, participation, asked);
  return new Set([...nodes].filter((node) => worn.has(units.get(node) ?? '')));
}
