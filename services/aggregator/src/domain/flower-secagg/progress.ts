// How far a round of Flower's SecAgg+ has come, as it is written down before anybody hears of it. What nodes said lies in the intake log;
// here is whose word counted when a stage was closed. Both together give the same round again, in whatever process.
import type { Member } from '../member.ts';
import { type Answer, type Fact, STAGES, type Stage } from './answer.ts';
import { afterFact, askedIn, beginRound } from './round.ts';
import type { Round } from './state.ts';
import type { FlowerTerms, NodeId } from './terms.ts';

export interface Counted {
  readonly nodeId: NodeId;
  readonly taskId: string;
}

export interface FlowerProgress {
  readonly terms: FlowerTerms;
  /** What the tasks under way ask for. */
  readonly stage: Stage;
  /** Whose answers counted in the stages before. */
  readonly answered: Readonly<Partial<Record<Stage, readonly Counted[]>>>;
  /** Who was left behind in the stages before, and why. */
  readonly left: readonly Member[];
  /** Unix milliseconds: when the first stage was begun. */
  readonly begunAt: number;
}

/** What a node said to a task; null if that is not known here. */
export type Said = (counted: Counted, stage: Stage) => Answer | null;

/** The round at the beginning of the stage under way. */
export function roundOf({ terms, stage, answered }: FlowerProgress, said: Said): Round {
  let round = beginRound(terms);
  for (const past of STAGES.slice(0, STAGES.indexOf(stage)))
    round = closeStage(round, past, answered[past] ?? [], said);
  return round;
}

/** Who is not among the counted has left. */
export function closeStage(round: Round, stage: Stage, counted: readonly Counted[], said: Said): Round {
  const facts = new Map<NodeId, Fact>();
  for (const one of counted) {
    const answer = said(one, stage);
    if (answer !== null) facts.set(one.nodeId, { kind: 'answer', answer });
  }
  const gone = [...askedIn(round)].filter((node) => !facts.has(node));
  // those who left first: the last word of those who did not closes the stage
  const all = [...gone.map((node): Fact => ({ kind: 'left', node, stage })), ...facts.values()];
  return all.reduce(afterFact, round);
}

export const countedIn = (members: Iterable<Member>): Counted[] =>
  [...members].flatMap(({ nodeId, taskId, state }) => (state === 'accepted' ? [{ nodeId, taskId }] : []));

/** Every node that was selected, once: accepted if its vector is in the sum, else as it left. */
export function cohortOf(
  members: ReadonlyMap<string, Member>,
  flower: FlowerProgress | undefined,
): ReadonlyMap<string, Member> {
  if (flower === undefined) return members;
  const delivered = new Set(flower.answered.collect_masked_vectors?.map(({ nodeId }) => nodeId));
  const gone = flower.left.filter(({ nodeId }) => !delivered.has(nodeId));
  const now = [...members.values()].map(
    (member): Member =>
      delivered.has(member.nodeId) ? { ...member, state: 'accepted', code: '', reason: '' } : member,
  );
  return new Map([...gone, ...now].map((member) => [member.taskId, member]));
}
