import type { NodeId } from './masking.ts';

// What nodes say, as the core's messages spell it: ids are decimal, bytes hexadecimal.

export interface Advert {
  readonly node: NodeId;
  readonly channelKey: string;
  readonly maskKey: string;
  readonly expires: string;
  readonly signature: string;
}
export interface SealedShare {
  readonly peer: NodeId;
  readonly sealed: string;
}
export interface Confirmation {
  readonly node: NodeId;
  readonly survivors: string;
  readonly model: string;
  readonly signature: string;
}
export interface OpenedShare {
  readonly of: NodeId;
  readonly share: string;
}

/** `subject` and `signingKey` are what the certificate says; it was issued by a root that is pinned here. */
export interface AdvertAnswer {
  readonly stage: 'advertise';
  readonly node: NodeId;
  readonly advert: Advert;
  readonly certificate: string;
  readonly subject: string;
  readonly signingKey: string;
}
export interface SharesAnswer {
  readonly stage: 'share';
  readonly node: NodeId;
  readonly shares: readonly SealedShare[];
}
export interface ConfirmAnswer {
  readonly stage: 'confirm';
  readonly node: NodeId;
  readonly confirmation: Confirmation;
}
export interface OpenedAnswer {
  readonly stage: 'unmask';
  readonly node: NodeId;
  readonly seeds: readonly OpenedShare[];
  readonly keys: readonly OpenedShare[];
}

/** What is kept. The answer to the stage `mask` is a vector, and goes elsewhere. */
export type Answer = AdvertAnswer | SharesAnswer | ConfirmAnswer | OpenedAnswer;
/** Stages that have an answer, and wait for it no longer than the terms say. */
export type AnsweredStage = Answer['stage'];
export type AskedStage = AnsweredStage | 'mask';

export const isSameAnswer = (one: Answer, other: Answer): boolean => JSON.stringify(one) === JSON.stringify(other);
