import { MaskRemoval, Roster } from '@aegis/core-native/secagg';
import type { NodeId } from '../domain/masking.ts';
import type { Openable, Rostered, Unmasking } from '../domain/state.ts';

// What the core computes of a round. Adverts had not expired when they came; later it does not matter.
const EVER = 0;

type OfRoster = Pick<Rostered, 'opened' | 'roster'>;

const certified = ({ roster }: OfRoster) =>
  [...roster.values()].map(({ advert, subject, signingKey }) => ({ advert, subject, signingKey }));

/** Verifies every signature again: what came out of the store is believed no more than what comes from a node. */
export const rosterOf = (round: OfRoster): Roster => Roster.create(round.opened.terms, certified(round), EVER);

export const neighboursOf = (core: Roster, { roster }: OfRoster): Map<NodeId, ReadonlySet<NodeId>> =>
  new Map([...roster.keys()].map((node) => [node, new Set(core.neighbours(node))]));

export const removalOf = (
  round: Pick<Unmasking | Openable, 'opened' | 'roster' | 'survivors' | 'dropped'>,
): MaskRemoval =>
  MaskRemoval.create(
    round.opened.terms,
    certified(round),
    EVER,
    round.opened.modelId,
    [...round.survivors],
    [...round.dropped],
  );
