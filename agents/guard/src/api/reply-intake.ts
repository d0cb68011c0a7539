import { sha256Hex } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import {
  type HeldObject,
  holdObject,
  idsOf,
  type ObjectTreeNode,
  type ParsedReply,
  parseReply,
  type ReplyHead,
} from '@aegis/flower-wire';
import type { Task } from '../domain/task.ts';
import type { Guard } from '../flows/guard.ts';

/** One reply of the SuperNode as it arrives, object by object. Its small objects are kept in memory, all of them in files. */
export class ReplyIntake {
  readonly task: Task;
  readonly head: ReplyHead;
  readonly #tree: ObjectTreeNode;
  readonly #guard: Guard;
  readonly #missing: Set<string>;
  readonly #announced: ReadonlySet<string>;
  readonly #objects = new Map<string, HeldObject>();
  #bytes = 0;

  constructor(guard: Guard, task: Task, head: ReplyHead, tree: ObjectTreeNode) {
    this.#guard = guard;
    this.task = task;
    this.head = head;
    this.#tree = tree;
    this.#announced = new Set(idsOf(tree));
    this.#missing = new Set(this.#announced);
  }

  wanted(): string[] {
    return [...this.#missing];
  }

  announces(objectId: string): boolean {
    return this.#announced.has(objectId);
  }

  get isComplete(): boolean {
    return this.#missing.size === 0;
  }

  /** Resolves when the object is on disk. Throws for what is not what was announced, and for more than may ever leave. */
  async take(objectId: string, content: Buffer): Promise<void> {
    if (!this.#missing.has(objectId)) return;
    if ((await sha256Hex([content])) !== objectId) throw new AegisError('PART_HASH', `Object ${objectId}.`);
    const object = holdObject(content);
    this.#bytes += content.byteLength;
    if (this.#bytes > 2 * this.#guard.policy.updateBytes + ENVELOPE) {
      throw new AegisError('BODY_TOO_LARGE', 'The reply is larger than the policy lets leave.');
    }
    await this.#guard.parts.write(this.task.taskId, objectId, content);
    this.#objects.set(objectId, object);
    this.#missing.delete(objectId);
  }

  read(): ParsedReply {
    const { kind, layout, model } = this.task;
    const tensorNames = kind === 'initial-model' ? [] : (model?.tensors.map(({ name }) => name) ?? []);
    return parseReply(this.head, this.#tree, this.#objects, { kind, layout, tensorNames });
  }
}

/** Metrics, configuration and structure, which do not count as update. */
const ENVELOPE = 64 * 2 ** 20;
