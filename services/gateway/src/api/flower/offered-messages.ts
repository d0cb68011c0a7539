import {
  type MessageHead,
  type ModelLayout,
  ModelObjectsCache,
  type ObjectPiece,
  type ObjectTreeNode,
  type ReadModel,
  renderTaskWith,
} from '@aegis/flower-wire';
import type { ModelFacts } from '../../domain/run.ts';
import type { Task, TaskRef } from '../../domain/task.ts';
import { refOf } from '../../domain/task.ts';
import { BoundedCache, SingleFlight, StillHeld } from '../bounded-cache.ts';

export interface OfferedMessage {
  readonly task: Task;
  readonly messageId: string;
  readonly head: MessageHead;
  readonly tree: ObjectTreeNode;
  /** What belongs to this message alone; what hangs below the model is shared, see `find`. */
  readonly own: ReadonlyMap<string, ObjectPiece>;
}

export interface ModelSource {
  model(modelId: string): Promise<ModelFacts>;
  readModel(modelId: string, offset: number, length: number): Promise<Buffer>;
}

export interface CacheLimits {
  /** Bytes of model slices. */
  readonly modelBytes: number;
  /** Bytes of rendered messages. */
  readonly messageBytes: number;
}

const MODELS = 16;
const MESSAGE_IDS = 100_000;
const ENTRY_BYTES = 1_000;

/**
 * Tasks as Flower messages. Rendering is deterministic, so nothing here needs to last: what was forgotten is rendered
 * again, by this gateway or another, to the same bytes and ids.
 */
export class OfferedMessages {
  readonly #source: ModelSource;
  readonly #models = new BoundedCache<string, Promise<ModelLayout>>(MODELS);
  readonly #modelObjects = new ModelObjectsCache(MODELS);
  readonly #messages: BoundedCache<string, OfferedMessage>;
  readonly #taskOfMessage = new BoundedCache<string, TaskRef>(MESSAGE_IDS);
  readonly #slices: BoundedCache<string, Buffer>;
  readonly #held = new StillHeld<string, Buffer>();
  readonly #reading = new SingleFlight<string, Buffer>();

  constructor(source: ModelSource, limits: CacheLimits) {
    this.#source = source;
    this.#messages = new BoundedCache(limits.messageBytes);
    this.#slices = new BoundedCache(limits.modelBytes);
  }

  async of(task: Task): Promise<OfferedMessage> {
    const cached = this.#messages.get(task.taskId);
    if (cached) return cached;
    const model = await this.#objectsOf(task);
    const { messageId, head, tree, objects } = renderTaskWith({ ...task, config: [...task.config] }, model);
    const own = new Map([...objects].filter(([id]) => !model?.objects.has(id)));
    const message: OfferedMessage = { task, messageId, head, tree, own };
    this.#messages.set(task.taskId, message, weightOf(own));
    this.#taskOfMessage.set(messageId, refOf(task), 1);
    return message;
  }

  /** The task a message id was made for, if this process remembers. */
  taskOf(messageId: string): TaskRef | undefined {
    return this.#taskOfMessage.get(messageId);
  }

  /** Names of the model's tensors in order: legacy apps number them. */
  async tensorNames(modelId: string): Promise<string[]> {
    if (modelId === '') return [];
    return (await this.#layout(modelId)).tensors.map(({ name }) => name);
  }

  /** The bytes of an object below this message, in pieces; null when it has no such object. */
  async find(message: OfferedMessage, objectId: string): Promise<Uint8Array[] | null> {
    const piece = message.own.get(objectId) ?? (await this.#objectsOf(message.task))?.objects.get(objectId);
    if (!piece) return null;
    if (piece.kind === 'bytes') return [piece.bytes];
    return [piece.header, await this.#read(message.task.modelId)(piece.offset, piece.length)];
  }

  async #objectsOf({ modelId, layout }: Task) {
    if (modelId === '') return null;
    return this.#modelObjects.get(await this.#layout(modelId), layout.dialect, this.#read(modelId));
  }

  #layout(modelId: string): Promise<ModelLayout> {
    const cached = this.#models.get(modelId);
    if (cached) return cached;
    const asked = this.#source
      .model(modelId)
      .then(({ tensors }) => ({ modelId, tensors: [...tensors] }))
      .catch((error: unknown) => {
        this.#models.delete(modelId);
        throw error;
      });
    this.#models.set(modelId, asked, 1);
    return asked;
  }

  // A round's nodes pull the same chunks at the same time: each is read once.
  #read(modelId: string): ReadModel {
    return async (offset, length) => {
      const key = `${modelId} ${offset} ${length}`;
      const cached = this.#slices.get(key) ?? this.#held.get(key);
      if (cached) return cached;
      return this.#reading.run(key, async () => {
        const content = await this.#source.readModel(modelId, offset, length);
        this.#slices.set(key, content, content.length);
        this.#held.note(key, content);
        return content;
      });
    };
  }
}

const weightOf = (own: ReadonlyMap<string, ObjectPiece>): number =>
  [...own.values()].reduce(
    (sum, piece) => sum + ENTRY_BYTES + (piece.kind === 'bytes' ? piece.bytes.length : 0),
    ENTRY_BYTES,
  );
