import type { Keys, Opening, Sealed } from './answer.ts';
import type { FlowerTerms, Neighbours, NodeId } from './terms.ts';

// The states of a compatible round. Each knows what the ones before it came to.

interface Begun {
  readonly terms: FlowerTerms;
  readonly neighbours: Neighbours;
  /** Failed in the stage under way, or are gone: not waited for. */
  readonly left: ReadonlySet<NodeId>;
}

export interface SettingUp extends Begun {
  readonly stage: 'setup';
  readonly keys: ReadonlyMap<NodeId, Keys>;
}

export interface Sharing extends Begun {
  readonly stage: 'share_keys';
  /** Of those who are asked to share; the order is that of the ring. */
  readonly keys: ReadonlyMap<NodeId, Keys>;
  readonly sealed: ReadonlyMap<NodeId, readonly Sealed[]>;
}

export interface Collecting extends Omit<Sharing, 'stage'> {
  readonly stage: 'collect_masked_vectors';
  /** Shared, and with enough neighbours who did: these mask, among themselves. */
  readonly participants: ReadonlySet<NodeId>;
  readonly delivered: ReadonlySet<NodeId>;
}

export interface Unmasking extends Omit<Collecting, 'stage'> {
  readonly stage: 'unmask';
  /** Participants who delivered nothing. Never asked for, from here on, as if they had. */
  readonly dropped: ReadonlySet<NodeId>;
  readonly openings: ReadonlyMap<NodeId, readonly Opening[]>;
}

/** Every secret that has to be known has a threshold of shares. */
export interface Openable extends Omit<Unmasking, 'stage'> {
  readonly stage: 'open';
}

export interface Ended {
  readonly stage: 'ended';
  readonly code: 'SECAGG_TOO_FEW' | 'SECAGG_ROUND_OVER';
  readonly reason: string;
}

export type Round = SettingUp | Sharing | Collecting | Unmasking | Openable | Ended;

export const tooFew = (reason: string): Ended => ({ stage: 'ended', code: 'SECAGG_TOO_FEW', reason });

export const near = (
  { neighbours }: Pick<Begun, 'neighbours'>,
  node: NodeId,
  among: Pick<Set<NodeId>, 'has'>,
): NodeId[] => [...(neighbours.get(node) ?? [])].filter((peer) => among.has(peer));

/** Who has a threshold of neighbours, itself among them, in `nodes`; what leaving out the others leaves is looked at again. */
export function connected({ terms, neighbours }: Begun, nodes: Iterable<NodeId>): Set<NodeId> {
  const left = new Set(nodes);
  for (;;) {
    const lonely = [...left].filter((node) => near({ neighbours }, node, left).length < terms.threshold);
    if (lonely.length === 0) return left;
    for (const node of lonely) left.delete(node);
  }
}
