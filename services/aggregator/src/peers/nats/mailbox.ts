import { type Bus, BusConflict } from '@aegis/bus';
import type { Mailbox, TaskAddress } from '../contract.ts';
import { decodeAddress, encodeTask } from './task-encoding.ts';

const keyOf = ({ nodeId, taskId }: TaskAddress): string => `${nodeId}.${taskId}`;

/** The bucket `tasks`, which the gateways watch. */
export async function natsMailbox(bus: Bus, parallel: number): Promise<Mailbox> {
  const bucket = await bus.bucket('tasks');
  return {
    put: (tasks) =>
      each(tasks, parallel, async (task) => {
        try {
          // a write of an owner that died or was paused may come after the withdrawal
          await bucket.createOnce(keyOf(task), encodeTask(task));
        } catch (error) {
          if (!(error instanceof BusConflict)) throw error;
        }
      }),
    withdraw: (tasks) => each(tasks, parallel, (task) => bucket.delete(keyOf(task))),
    ofRun: async (runId) => {
      const found: TaskAddress[] = [];
      for await (const { value } of bucket.entries()) {
        const task = decodeAddress(value);
        if (task?.runId === runId) found.push(task);
      }
      return found;
    },
  };
}

/** A thousand writes are neither a thousand waits nor a thousand at once. */
export async function each<T>(items: readonly T[], parallel: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, worker));
}
