import { AegisError } from '@aegis/errors';
import { MAX_STREAM_OFFERS } from '../domain/mailbox.ts';
import type { NodeRecord } from '../domain/node.ts';
import type { Task } from '../domain/task.ts';
import { FAILURE, giveUp } from './fail-task.ts';
import type { Gateway } from './gateway.ts';
import { offerTask } from './pull-task.ts';
import { withholdMasked } from './withhold-masked.ts';

export type MailboxNews<T> =
  | { readonly what: 'task'; readonly offer: T }
  | { readonly what: 'withdrawn'; readonly taskId: string };

const RETRY_MS = 1_000;
/** Nothing but news ends a wait; this only has to be some number. */
const LONG_MS = 3_600_000;

/**
 * For a node that stays: every task the moment it is there, made ready by `prepare`, once per stream, and every task that
 * is no longer to be done; masked ones only if it masks. Ends when the caller has gone, when the node calls again elsewhere, leaves, falls silent or is
 * removed, and when this gateway drains.
 */
export async function* followMailbox<T>(
  gateway: Gateway,
  node: NodeRecord,
  caller: AbortSignal,
  prepare: (task: Task) => Promise<T>,
): AsyncGenerator<MailboxNews<T>> {
  const { mailbox, clock } = gateway;
  const { nodeId } = node;
  const hold = gateway.held.open(nodeId, caller);
  const told = new Set<string>();
  const withheld = new Set<string>();
  const passedOver = { has: (taskId: string) => told.has(taskId) || withheld.has(taskId) };
  try {
    while (!hold.isOver) {
      for (const taskId of told) {
        if (mailbox.find(nodeId, taskId)) continue;
        told.delete(taskId);
        yield { what: 'withdrawn', taskId };
      }
      const { task, exhausted } = mailbox.next(nodeId, MAX_STREAM_OFFERS, passedOver);
      if (exhausted.length > 0) {
        const reason = `Offered ${MAX_STREAM_OFFERS} times without an answer.`;
        void giveUp(gateway, exhausted, FAILURE.replyUnavailable, reason);
      }
      if (task?.secaggplus || (task?.masking && !node.canMask)) {
        withheld.add(task.taskId);
        await withholdMasked(gateway, task);
        continue;
      }
      let patience = LONG_MS;
      if (task) {
        try {
          const offer = await offerTask(gateway, task, hold, prepare);
          if (offer !== null) {
            told.add(task.taskId);
            yield { what: 'task', offer };
          }
          continue;
        } catch (caught) {
          gateway.log.warn(
            { node: nodeId, task: task.taskId, err: AegisError.from(caught) },
            'task not ready to offer',
          );
          patience = RETRY_MS;
        }
      }
      const wake = await hold.wait(clock.monotonic() + patience);
      if (wake === 'ended' || wake === 'gone') return;
    }
  } finally {
    hold.close();
  }
}
