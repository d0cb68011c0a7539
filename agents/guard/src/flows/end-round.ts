import type { Guard } from './guard.ts';

/** Nothing more is said in the masked round of this task: its keys and shares are wiped, here and on disk. */
export const endRound = (guard: Guard, taskId: string, reason: string): void => {
  const { journal, rounds, secrets, parts, log } = guard;
  const round = journal.masked(taskId);
  if (round === null) return;
  if (round.over === null) journal.endRound(taskId, reason);
  rounds.end(taskId);
  const failed = (err: unknown): void =>
    log.error({ err, task: taskId }, 'what a masked round left could not be removed');
  void secrets.drop(taskId).catch(failed);
  // What the SuperNode said stays here; a vector that is on its way is whole, masked, and goes on.
  const answer = journal.answerTo(taskId);
  if (answer === null || answer.verdict !== null || answer.answer.outcome === 'failure') {
    void parts.drop(taskId).catch(failed);
  }
};
