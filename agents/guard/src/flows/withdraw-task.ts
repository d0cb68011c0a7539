import { FAILURE } from '../domain/answer.ts';
import { endRound } from './end-round.ts';
import type { Guard } from './guard.ts';

/** Tasks that the server took back while the SuperNode was at work on them. */
export class Withdrawn {
  readonly #tasks = new Set<string>();

  add(taskId: string): void {
    this.#tasks.add(taskId);
  }

  take(): string[] {
    const all = [...this.#tasks];
    this.#tasks.clear();
    return all;
  }
}

/** The round no longer waits. A SuperNode cannot be stopped: its answer is dropped when it comes. */
export const withdrawTask = async (guard: Guard, withdrawn: Withdrawn, taskId: string): Promise<void> => {
  const isWorkedOn = guard.tasks.remove(taskId);
  // Of a masked round whose vector has left, the server says itself when it is over.
  const waits = guard.journal.masked(taskId)?.over === null && guard.journal.answerTo(taskId) === null;
  if (waits) endRound(guard, taskId, 'withdrawn');
  if (!isWorkedOn) {
    if (waits) guard.upstream.fail(taskId, FAILURE.nodeUnavailable, TAKEN_BACK);
    return;
  }
  withdrawn.add(taskId);
  await guard.parts.drop(taskId);
  guard.held.wake();
};

const TAKEN_BACK = 'The task was withdrawn.';

/** The SuperNode asks for work: it is done with whatever was taken back, and the server may choose this node again. */
export const confirmFree = ({ upstream }: Guard, withdrawn: Withdrawn): void => {
  for (const taskId of withdrawn.take()) upstream.fail(taskId, FAILURE.nodeUnavailable, TAKEN_BACK);
};
