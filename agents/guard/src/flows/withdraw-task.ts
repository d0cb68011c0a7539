import { FAILURE } from '../domain/answer.ts';
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
  if (!guard.tasks.remove(taskId)) return;
  withdrawn.add(taskId);
  await guard.parts.drop(taskId);
  guard.held.wake();
};

/** The SuperNode asks for work: it is done with whatever was taken back, and the server may choose this node again. */
export const confirmFree = ({ upstream }: Guard, withdrawn: Withdrawn): void => {
  for (const taskId of withdrawn.take()) upstream.fail(taskId, FAILURE.nodeUnavailable, 'The task was withdrawn.');
};
