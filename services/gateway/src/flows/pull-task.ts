import { AegisError } from '@aegis/errors';
import { MAX_OFFERS } from '../domain/mailbox.ts';
import type { NodeRecord } from '../domain/node.ts';
import { present } from '../domain/presence.ts';
import type { Task } from '../domain/task.ts';
import { FAILURE, giveUp } from './fail-task.ts';
import type { Gateway } from './gateway.ts';
import { lookAlive, lookFree, nodeAtWork } from './heartbeat.ts';
import type { Hold } from './held-pulls.ts';
import { withholdMasked } from './withhold-masked.ts';

/**
 * Long poll: the node's oldest open task, made ready by `prepare`; held while there is none, answered the moment one
 * comes, null when the hold is over. A task counts as offered only when the caller is still there to hear of it.
 */
export const pullTask = async <T>(
  gateway: Gateway,
  node: NodeRecord,
  caller: AbortSignal,
  prepare: (task: Task) => Promise<T>,
  holdMs = gateway.settings.holdMs,
): Promise<T | null> => {
  const atWork = await nodeAtWork(gateway, node);
  if (!atWork) return null;
  lookAlive(gateway, atWork);
  lookFree(gateway, atWork);
  const deadline = gateway.clock.monotonic() + holdMs;
  const hold = gateway.held.open(node.nodeId, caller);
  const withheld = new Set<string>();
  try {
    while (!hold.isOver) {
      const { task, exhausted } = gateway.mailbox.next(node.nodeId, MAX_OFFERS, withheld);
      if (exhausted.length > 0) {
        void giveUp(gateway, exhausted, FAILURE.replyUnavailable, `Offered ${MAX_OFFERS} times without an answer.`);
      }
      // Whoever pulls speaks Flower or REST, whose answers are in the clear, but for apps that mask by themselves.
      if (task?.masking || (task?.secaggplus && present(node).kind !== undefined)) {
        withheld.add(task.taskId);
        await withholdMasked(gateway, task);
        continue;
      }
      if (task) return await offerTask(gateway, task, hold, prepare);
      const wake = await hold.wait(deadline);
      if (wake !== 'task') return null;
    }
    return null;
  } finally {
    hold.close();
  }
};

/** Null: it was withdrawn, or the caller has gone. Only what is handed out counts as offered. */
export const offerTask = async <T>(
  gateway: Gateway,
  task: Task,
  hold: Hold,
  prepare: (task: Task) => Promise<T>,
): Promise<T | null> => {
  const prepared = await prepare(task).catch((caught: unknown) => {
    const error = AegisError.from(caught);
    // What does not pass by waiting must not be tried for ever.
    if (error.entry.kind !== 'unavailable') gateway.mailbox.offered(task.nodeId, task.taskId);
    throw error;
  });
  if (hold.isOver || !gateway.mailbox.open(task.nodeId).includes(task)) return null;
  gateway.mailbox.offered(task.nodeId, task.taskId);
  gateway.observed.taskOffered();
  return prepared;
};
