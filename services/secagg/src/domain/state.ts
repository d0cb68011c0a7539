import type { AdvertAnswer, ConfirmAnswer, OpenedAnswer, SealedShare, SharesAnswer } from './answer.ts';
import type { EndCode } from './fact.ts';
import type { NodeId, Opened } from './masking.ts';

// The states of a round, in the order of the protocol. Each knows what the ones before it came to.

export type Answers<A> = ReadonlyMap<NodeId, A>;

export interface Excluded {
  readonly node: NodeId;
  readonly reason: 'NOT_ADVERTISED' | 'ADVERT_OF_ANOTHER' | 'NOT_SHARED' | 'TOO_FEW_NEIGHBOURS';
}

export interface Advertising {
  readonly stage: 'advertise';
  readonly opened: Opened;
  readonly adverts: Answers<AdvertAnswer>;
  /** Came with a subject or key that somebody else had brought before. */
  readonly twins: ReadonlySet<NodeId>;
}

/** The roster stands; who is whose neighbour is being drawn from it. */
export interface Drawing {
  readonly stage: 'draw';
  readonly opened: Opened;
  readonly roster: Answers<AdvertAnswer>;
  readonly excluded: readonly Excluded[];
}

export interface Rostered extends Omit<Drawing, 'stage'> {
  readonly neighbours: ReadonlyMap<NodeId, ReadonlySet<NodeId>>;
}

export interface Sharing extends Rostered {
  readonly stage: 'share';
  readonly shares: Answers<SharesAnswer>;
}

export interface Shared extends Rostered {
  readonly shares: Answers<SharesAnswer>;
  /** Whose vectors can be taken. */
  readonly participants: ReadonlySet<NodeId>;
  /** Sealed shares by who receives them. */
  readonly deliveries: ReadonlyMap<NodeId, readonly SealedShare[]>;
}

/** Nodes train and hand in masked vectors, elsewhere. */
export interface Masking extends Shared {
  readonly stage: 'mask';
}

export interface Survived extends Shared {
  /** Ascending, by the aggregator's word. */
  readonly survivors: readonly NodeId[];
  /** Shared their keys, and handed in nothing. */
  readonly dropped: readonly NodeId[];
}

export interface Confirming extends Survived {
  readonly stage: 'confirm';
  readonly confirmations: Answers<ConfirmAnswer>;
}

export interface Unmasking extends Survived {
  readonly stage: 'unmask';
  readonly confirmations: Answers<ConfirmAnswer>;
  readonly openings: Answers<OpenedAnswer>;
  /** How many shares were opened of whom. */
  readonly counts: ReadonlyMap<NodeId, number>;
}

/** Every secret that has to be known has a threshold of shares. More may come: if somebody lied, they help. */
export interface Openable extends Omit<Unmasking, 'stage'> {
  readonly stage: 'open';
}

export interface Ended {
  readonly stage: 'ended';
  readonly opened: Opened;
  readonly code: EndCode;
  readonly reason: string;
}

export type Round = Advertising | Drawing | Sharing | Masking | Confirming | Unmasking | Openable | Ended;

export const tooFew = (opened: Opened, reason: string): Ended => ({
  stage: 'ended',
  opened,
  code: 'SECAGG_TOO_FEW',
  reason,
});

export const withAnswer = <A extends { readonly node: NodeId }>(answers: Answers<A>, answer: A): Answers<A> =>
  new Map(answers).set(answer.node, answer);

/** Ids in the order of their numbers. */
export const ascending = (nodes: Iterable<NodeId>): NodeId[] =>
  [...nodes].sort((one, other) => one.length - other.length || (one < other ? -1 : 1));
