import { AegisError } from '@aegis/errors';
import { type AskedStage, isSameAnswer } from '../domain/answer.ts';
import type { NodeId } from '../domain/masking.ts';
import { over, wrongAnswer } from '../domain/refuse.ts';
import { nextRequest, type StageRequest } from '../domain/request.ts';
import { keptAnswer, whyNotAsked } from '../domain/round.ts';
import { judgeAnswer, readAnswer, type Said } from './check-answer.ts';
import { type Ground, HOLD_MS } from './ground.ts';
import type { LiveRound } from './live-round.ts';

export interface Exchange {
  readonly runId: string;
  readonly taskId: string;
  readonly node: NodeId;
  readonly stage: AskedStage;
  /** Null: goes on waiting for what follows the one that was kept. */
  readonly said: Said | null;
}

/** Keeps what a node says, and waits for what it is asked next; null: nothing yet. */
export const exchange = async (
  ground: Ground,
  asked: Exchange,
  signal: AbortSignal,
): Promise<{ readonly request: StageRequest | null; readonly terms: string }> => {
  const { stage, node } = asked;
  try {
    const round = await ground.rounds.ofTask(asked.runId, asked.taskId);
    if (round.nodeOfTask.get(asked.taskId) !== node) throw over('The task is of another node.');
    if (stage !== 'mask') await keep(ground, round, stage, asked);
    const request = await round.until((state) => nextRequest(state, stage, node), HOLD_MS, signal);
    return { request, terms: round.digest };
  } catch (error) {
    const { code, entry } = AegisError.from(error);
    if (entry.kind !== 'unavailable' && !signal.aborted) {
      ground.measures.refused.add(1, { stage, code });
      ground.log.info({ run: asked.runId, node, stage, code, detail: AegisError.from(error).detail }, 'answer refused');
    }
    throw error;
  }
};

const keep = async (
  ground: Ground,
  round: LiveRound,
  stage: Exclude<AskedStage, 'mask'>,
  { node, said }: Exchange,
): Promise<void> => {
  const known = keptAnswer(round.state, stage, node);
  if (said === null) {
    if (known) return;
    // An advert of which another node had the subject or key first, or an answer that came too late.
    if (round.state.stage === 'ended' || 'excluded' in round.state) throw over(whyNotAsked(round.state, node));
    throw wrongAnswer('No answer is kept that something could follow.');
  }
  if (said.node !== node || said.stage !== stage) throw wrongAnswer('It is of another node or stage.');
  const answer = readAnswer(ground, said);
  if (known) return refuseSecond(isSameAnswer(known, answer));
  judgeAnswer(ground, round, answer);
  await round.add({ kind: 'answer', answer });
  const kept = keptAnswer(round.state, stage, node);
  if (kept) refuseSecond(isSameAnswer(kept, answer));
};

const refuseSecond = (isSame: boolean): void => {
  if (!isSame) throw new AegisError('SECAGG_SECOND_ANSWER');
};
