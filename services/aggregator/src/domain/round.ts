// What is known of one phase of a round: nodes are selected, sent a task, and answer or not; then the answers are put together.
//   selecting → collecting → closing → finishing → ended
// A private round pays before it asks: selecting → reserving → collecting → … A masked one agrees on terms: selecting → opening → collecting → …
// Both: selecting → opening → reserving → opening → collecting → …
// With Flower's SecAgg+ the cohort is asked four times: selecting → opening → collecting → closing → opening → collecting → …
// round-step.ts decides what happens next.
import type { Sampling } from './cohort.ts';
import type { Counted, FlowerProgress } from './flower-secagg/progress.ts';
import type { MaskedEffect, MaskedInput, Masking } from './masking.ts';
import type { Member, MemberState } from './member.ts';
import type { TaskKind } from './plan.ts';
import type { RoundPrivacy } from './private-round.ts';

export type Stage = 'selecting' | 'reserving' | 'opening' | 'collecting' | 'closing' | 'finishing' | 'ended';
export type { Member, MemberState } from './member.ts';

export type NodeOutcome = Pick<Member, 'nodeId' | 'state' | 'code' | 'reason'>;

export interface RoundRules {
  readonly sampling: Sampling;
  /**
   * Set by the plan: this many answers close the round, fewer are not enough. Null: all selected close it, and at its end
   * the minimum of nodes to train with must have answered.
   */
  readonly minReport: number | null;
  readonly deadlineSeconds: number;
  /** Cohorts tried before the phase is given up. */
  readonly tries: number;
  /** When given up: the run goes on without (evaluation), or fails. */
  readonly optional: boolean;
  /** Of training in a private run: other rules of closing, and no answer counts before it is paid for. */
  readonly privacy?: RoundPrivacy | undefined;
  /** Answers are masked: fewer than the terms' survivors open nothing. */
  readonly masked?: boolean | undefined;
  /** Answers are masked by Flower's own SecAgg+: how long one of its stages without training may take. */
  readonly flower?: { readonly stageSeconds: number } | undefined;
}

export interface RoundState {
  readonly runId: bigint;
  readonly round: number;
  readonly rounds: number;
  readonly kind: TaskKind;
  readonly modelId: string | null;
  readonly rules: RoundRules;
  readonly stage: Stage;
  readonly attempt: number;
  /** Unix milliseconds. */
  readonly openedAt: number;
  readonly dispatchedAt: number | null;
  readonly closedAt: number | null;
  /** Nodes wanted before over-selection. */
  readonly wanted: number;
  readonly waitingFor: number;
  /** By task id. */
  readonly members: ReadonlyMap<string, Member>;
  readonly traceparent: string;
  /** Of a private round. Kept as they were drawn until the ledger has answered: asked again, it must be asked for the same. */
  readonly units?: readonly string[] | undefined;
  readonly reservationId?: string | undefined;
  /** With tree noise: units that were drawn, in this attempt and those before it. They have taken part, whatever came of it. */
  readonly asked?: readonly string[] | undefined;
  /** The terms of a masked attempt, from before anybody was asked. */
  readonly masking?: Masking | undefined;
  /** How far Flower's SecAgg+ has come; absent: nobody was asked yet, or it is not used. */
  readonly flower?: FlowerProgress | undefined;
  /** How it ended; null: not yet, or never begun. Kept until the run's own record says so. */
  readonly ended: { readonly end: RoundEnd; readonly reason: string } | null;
}

export type RoundInput =
  /** `overdue` are online, but not to be selected. */
  | {
      readonly type: 'nodes';
      readonly online: ReadonlySet<bigint>;
      readonly overdue?: ReadonlySet<bigint>;
      /** Online, but another node of the same unit is to be selected, if any. */
      readonly standingBack?: ReadonlySet<bigint>;
      /** Online, but of units that may not be asked again under tree noise. */
      readonly worn?: ReadonlySet<bigint>;
      /** So many more are online and cannot mask, where that is asked for. */
      readonly unmasked?: number;
      /** These are online and do not consent to the run: not among `online`, which they would be otherwise. */
      readonly unwilling?: ReadonlySet<bigint>;
    }
  | {
      readonly type: 'drawn';
      readonly tasks: readonly { readonly nodeId: bigint; readonly taskId: string }[];
      readonly wanted: number;
      readonly traceparent: string;
      /** Pseudonyms of those whom a private round is charged to. */
      readonly units?: readonly string[] | undefined;
    }
  | { readonly type: 'reserved'; readonly reservationId: string }
  /** The budget does not cover the round, or the ledger refuses it. */
  | { readonly type: 'not-reserved'; readonly reason: string }
  | { readonly type: 'recording'; readonly taskId: string }
  /** The answer could not be written; the node may try again. */
  | { readonly type: 'not-recorded'; readonly taskId: string }
  | { readonly type: 'accepted'; readonly taskId: string }
  | { readonly type: 'refused'; readonly taskId: string; readonly code: string; readonly reason: string }
  | { readonly type: 'failed'; readonly taskId: string; readonly code: string; readonly reason: string }
  /** Time has passed; the deadline may be over. */
  | { readonly type: 'tick' }
  | { readonly type: 'resumed'; readonly recorded: ReadonlySet<string> }
  | { readonly type: 'finished' }
  | { readonly type: 'finish-failed'; readonly reason: string }
  | { readonly type: 'stop' }
  | FlowerInput
  | MaskedInput;

/** What the round machine is told of Flower's SecAgg+. It asks with `mask`, at the beginning and when a stage is closed. */
export type FlowerInput =
  /** The next stage, and whose tasks it has. */
  | { readonly type: 'asked'; readonly flower: FlowerProgress; readonly tasks: readonly Counted[] }
  /** More answers to this stage change nothing. */
  | { readonly type: 'enough' };

/** So many of them, or each with a chance of its own. */
export type Draw = { readonly size: number } | { readonly rate: number };

export type RoundEnd = 'completed' | 'skipped' | 'failed' | 'stopped';

export type RoundEffect =
  /** Choose of these at random, name their tasks, answer with `drawn`. */
  | { readonly do: 'draw'; readonly from: readonly bigint[]; readonly draw: Draw; readonly wanted: number }
  | { readonly do: 'save' }
  | { readonly do: 'dispatch'; readonly tasks: readonly Member[] }
  | { readonly do: 'withdraw'; readonly tasks: readonly Member[] }
  | { readonly do: 'wake'; readonly at: number }
  /** Pay for what the round will release; answer with `reserved` or `not-reserved`. */
  | { readonly do: 'reserve' }
  /** Nothing of the round left, and nothing will: the ledger may have it back. */
  | { readonly do: 'release'; readonly reservationId: string; readonly reason: string }
  /** Put the accepted answers together; answer with `finished` or `finish-failed`. */
  | { readonly do: 'finish' }
  /** These let the deadline pass: not to be selected before they show themselves. */
  | { readonly do: 'miss'; readonly nodes: readonly bigint[] }
  /** Forget what the abandoned cohort answered. */
  | { readonly do: 'discard' }
  | { readonly do: 'log'; readonly line: string }
  | { readonly do: 'end'; readonly end: RoundEnd; readonly reason: string }
  | MaskedEffect;

export type NewRound = Pick<RoundState, 'runId' | 'round' | 'rounds' | 'kind' | 'modelId' | 'rules'>;

export const openRound = (round: NewRound, now: number): RoundState => ({
  ...round,
  stage: 'selecting',
  attempt: 1,
  openedAt: now,
  dispatchedAt: null,
  closedAt: null,
  wanted: 0,
  waitingFor: 0,
  members: new Map(),
  traceparent: '',
  ended: null,
});

/** When the round must be looked at again without any event; null: never. */
export function deadlineOf(state: RoundState): number | null {
  const window = windowOf(state) * 1000;
  if (state.stage === 'collecting' && state.dispatchedAt !== null) return state.dispatchedAt + window;
  return state.stage === 'selecting' && state.rules.optional ? state.openedAt + window : null;
}

/** Seconds that answers are waited for. */
export const windowOf = ({ rules, flower }: Pick<RoundState, 'rules' | 'flower'>): number =>
  flower === undefined || flower.stage === 'collect_masked_vectors' || rules.flower === undefined
    ? rules.deadlineSeconds
    : rules.flower.stageSeconds;

/** `size`: what the rules of sampling say for those who are online. */
export function drawOf({ privacy }: RoundRules, size: number): Draw {
  if (privacy?.sampling.kind === 'poisson') return { rate: privacy.sampling.rate };
  return { size: privacy?.sampling.kind === 'fixed' ? privacy.sampling.size : size };
}

export const isOpen = (member: Member): boolean => member.state === 'waiting' || member.state === 'recording';

export const countOf = (state: RoundState, ...states: MemberState[]): number => {
  let count = 0;
  for (const member of state.members.values()) if (states.includes(member.state)) count += 1;
  return count;
};
