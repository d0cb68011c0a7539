import type { Bucket, Bus } from '@aegis/bus';
import { Task as WireTask } from '@aegis/contracts/aegis/events/v1/task';
import { toTaskToRender } from '@aegis/flower-wire';
import type { Logger } from '@aegis/service-kit';
import type { Task } from '../domain/task.ts';
import type { TaskFeed, TaskListener } from './contract.ts';

/** Bucket `tasks`: `<node id>.<task id>` → Task, written and withdrawn by the aggregator. */
export class BusTaskFeed implements TaskFeed {
  readonly #bucket: Bucket;
  readonly #log: Logger;

  private constructor(bucket: Bucket, log: Logger) {
    this.#bucket = bucket;
    this.#log = log;
  }

  static async open(bus: Bus, log: Logger): Promise<BusTaskFeed> {
    return new BusTaskFeed(await bus.bucket('tasks'), log);
  }

  follow(on: TaskListener, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const run = async (): Promise<void> => {
      for await (const item of this.#bucket.watch(undefined, signal)) {
        if (item.type === 'complete') {
          resolve();
          continue;
        }
        if (item.value === null) {
          const [nodeId = '0', taskId = ''] = item.key.split('.');
          on.withdrawn(BigInt(nodeId), taskId);
          continue;
        }
        const task = this.#decode(item.key, item.value);
        if (task) on.put(task);
      }
    };
    run().catch((error: unknown) => {
      reject(error);
      if (!signal.aborted) this.#log.error({ err: error }, 'the feed of tasks ended');
    });
    return promise;
  }

  async ofNode(nodeId: bigint): Promise<Task[]> {
    const tasks: Task[] = [];
    for await (const { key, value } of this.#bucket.entries(nodeId.toString())) {
      const task = this.#decode(key, value);
      if (task) tasks.push(task);
    }
    return tasks;
  }

  // One task that cannot be read must not keep all others from their nodes.
  #decode(key: string, value: Buffer): Task | null {
    try {
      const wire = WireTask.decode(value);
      const { round, modelId, taskId, traceparent, deadline, join, masking } = wire;
      return { ...toTaskToRender(wire), round, modelId, taskId, traceparent, deadline, join, masking };
    } catch (error) {
      this.#log.error({ err: error, task: key }, 'a task in the mailbox cannot be read');
      return null;
    }
  }
}
