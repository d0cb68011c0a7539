import { AegisError } from '@aegis/errors';
import { FAILURE } from '../domain/answer.ts';
import { MAX_OFFERS } from '../domain/open-tasks.ts';
import type { Task } from '../domain/task.ts';
import type { Guard } from './guard.ts';
import { refuseTask } from './refuse-task.ts';

/** Flower's HTTP client gives up after 30 s. */
const HOLD_MS = 20_000;

/** Long poll: the oldest open task, made ready by `prepare`; null when none came in time. */
export const pullTask = async <T>(
  guard: Guard,
  caller: AbortSignal,
  prepare: (task: Task) => Promise<T>,
): Promise<T | null> => {
  const until = guard.clock.monotonic() + HOLD_MS;
  while (!caller.aborted && !guard.ending.aborted) {
    const { task, exhausted } = guard.tasks.next();
    for (const lost of exhausted) {
      refuseTask(guard, lost, FAILURE.replyUnavailable, `The SuperNode took it ${MAX_OFFERS} times without an answer.`);
    }
    if (task) {
      const prepared = await prepare(task).catch((caught: unknown) => {
        const error = AegisError.from(caught);
        if (error.entry.kind === 'unavailable' || guard.ending.aborted) throw error;
        // What does not pass by waiting must not be tried for ever.
        refuseTask(guard, task, FAILURE.replyUnavailable, `The guard cannot make it ready: ${error.message}`);
        return null;
      });
      if (prepared === null) continue;
      if (caller.aborted || guard.tasks.find(task.taskId) === null) continue;
      guard.tasks.offered(task.taskId);
      return prepared;
    }
    const left = until - guard.clock.monotonic();
    if (left <= 0) return null;
    await guard.held.wait(left, caller);
  }
  return null;
};
