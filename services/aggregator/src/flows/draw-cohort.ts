import { poissonCohort } from '../domain/cohort.ts';
import { standingBack } from '../domain/private-round.ts';
import type { RoundEffect, RoundInput, RoundState } from '../domain/round.ts';
import type { Ground } from './ground.ts';
import { unitsToCharge } from './private-round.ts';
import { type TakingPart, wornNodes } from './who-may-take-part.ts';

/** Draws what the round asks for from the nodes it may choose from, with the machine's randomness; of a private round, one node of a unit. */
export function drawCohort(
  ground: Ground,
  setting: TakingPart & { readonly traceparent: string },
  state: RoundState,
  { from, draw, wanted }: RoundEffect & { do: 'draw' },
): RoundInput {
  const { random, clock, peers } = ground;
  const { privacy } = setting.plan;
  const units = peers.presence.units(privacy?.unit ?? 'node');
  const known = privacy === undefined ? from : from.filter((node) => units.has(node));
  // gateways may have told anew since who is whose
  const back = privacy === undefined ? new Set() : standingBack(known, units);
  const worn = wornNodes(known, units, setting, state);
  const able = known.filter((node) => !back.has(node) && !worn.has(node));
  const chosen =
    'rate' in draw
      ? poissonCohort(able, draw.rate, () => uniformOf(random.bytes(8)))
      : random.shuffle(able).slice(0, draw.size);
  const tasks = chosen.map((nodeId) => ({ nodeId, taskId: random.ulid(clock.now()) }));
  const charged = unitsToCharge(units, state, able, chosen);
  return { type: 'drawn', tasks, wanted, traceparent: setting.traceparent, units: charged };
}

/** 53 of the bits, as a number in [0, 1). */
const uniformOf = (bytes: Buffer): number => Number(bytes.readBigUInt64LE() >> 11n) / 2 ** 53;
