import {
  type MessageHead,
  ModelObjectsCache,
  type ObjectPiece,
  type ObjectTreeNode,
  renderTask,
} from '@aegis/flower-wire';
import type { Task } from '../domain/task.ts';
import type { Guard } from '../flows/guard.ts';
import { readModel, readyModel } from '../flows/ready-model.ts';

export interface OfferedMessage {
  readonly task: Task;
  readonly messageId: string;
  readonly head: MessageHead;
  readonly tree: ObjectTreeNode;
  readonly objects: ReadonlyMap<string, ObjectPiece>;
}

/** Open tasks as Flower messages. Rendering is deterministic: what was forgotten is rendered again to the same ids. */
export class Offered {
  readonly #guard: Guard;
  readonly #models = new ModelObjectsCache(2);
  readonly #messages = new Map<string, Promise<OfferedMessage>>();

  constructor(guard: Guard) {
    this.#guard = guard;
  }

  of(task: Task): Promise<OfferedMessage> {
    for (const taskId of this.#messages.keys()) if (!this.#guard.tasks.find(taskId)) this.#messages.delete(taskId);
    const known = this.#messages.get(task.taskId);
    if (known) return known;
    const rendering = this.#render(task).catch((error: unknown) => {
      this.#messages.delete(task.taskId);
      throw error;
    });
    this.#messages.set(task.taskId, rendering);
    return rendering;
  }

  /** The open task that this message offers; null when there is none. */
  async withId(messageId: string): Promise<OfferedMessage | null> {
    for (const task of this.#guard.tasks.all()) {
      const message = await this.#messages.get(task.taskId);
      if (message?.messageId === messageId) return message;
    }
    return null;
  }

  /** Bytes of an object below an open message; null when it belongs to none. */
  async object(runId: bigint, objectId: string): Promise<Uint8Array[] | null> {
    for (const task of this.#guard.tasks.all()) {
      if (task.runId !== runId) continue;
      const piece = (await this.#messages.get(task.taskId))?.objects.get(objectId);
      if (piece?.kind === 'bytes') return [piece.bytes];
      if (piece && task.model)
        return [piece.header, await readModel(this.#guard, task.model, piece.offset, piece.length)];
    }
    return null;
  }

  async #render(task: Task): Promise<OfferedMessage> {
    const { model } = task;
    if (model) await readyModel(this.#guard, task);
    const nodeId = await this.#guard.upstream.nodeId(this.#guard.ending);
    const read = (offset: number, length: number): Promise<Buffer> => {
      if (!model) throw new TypeError('a task without a model reads none');
      return readModel(this.#guard, model, offset, length);
    };
    const layout = model && { modelId: model.modelId, tensors: [...model.tensors] };
    const rendered = await renderTask({ ...task, nodeId, config: [...task.config] }, layout, read, this.#models);
    return { task, ...rendered };
  }
}
