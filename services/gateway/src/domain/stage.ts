/** The stages of a masked round in which a node is asked something, in order. */
export type Stage = 'advertise' | 'share' | 'mask' | 'confirm' | 'unmask';

/** What a node has for a stage. The gateway passes it on and reads nothing of it. */
export interface StageAnswer {
  readonly stage: Stage;
  readonly answer: Buffer;
}

export type StageNews =
  | { readonly what: 'request'; readonly stage: Stage; readonly request: Buffer }
  | { readonly what: 'nothing-yet' }
  | { readonly what: 'done' };
