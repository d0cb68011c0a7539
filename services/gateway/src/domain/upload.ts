import { AegisError } from '@aegis/errors';
import type { TaskRef } from './task.ts';

/** What a node says it is going to send: content-addressed parts, children before parents. */
export interface PartTree {
  readonly id: string;
  readonly children: readonly PartTree[];
}

export type Verdict =
  | { readonly accepted: true }
  | { readonly accepted: false; readonly code: string; readonly detail: string };

/** Durable: what one node announced as the answer to one task, and how it ended. */
export interface UploadRecord {
  readonly session: string;
  readonly task: TaskRef;
  /** Id of the whole answer; the same answer announced again is a retry. */
  readonly replyId: string;
  /** What the door needs to read the answer once it is complete; nobody else looks inside. */
  readonly head: Buffer;
  /** Distinct ids, in the order they are wanted. */
  readonly partIds: readonly string[];
  readonly runtimeSeconds: number;
  readonly announcedAt: number;
  /** Of the task's round, so that a push after a restart still joins its trace. */
  readonly traceparent: string;
  readonly verdict: Verdict | null;
}

/** Distinct ids, children before parents: the order in which a Flower client sends. */
export const postOrder = (root: PartTree): string[] => {
  const order = new Set<string>();
  const stack: { tree: PartTree; next: number }[] = [{ tree: root, next: 0 }];
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    const child = top.tree.children[top.next];
    if (child) {
      top.next += 1;
      if (!order.has(child.id)) stack.push({ tree: child, next: 0 });
    } else {
      order.add(top.tree.id);
      stack.pop();
    }
  }
  return [...order];
};

/**
 * How far one upload has come, as far as this gateway knows. Another gateway may have taken some of the parts: then
 * `likelyMissing` tells which ids to ask the aggregator about before the answer is called incomplete.
 */
export class OpenUpload {
  readonly record: UploadRecord;
  readonly #announced: ReadonlySet<string>;
  readonly #remaining: Set<string>;

  constructor(record: UploadRecord, missing: readonly string[]) {
    this.record = record;
    this.#announced = new Set(record.partIds);
    this.#remaining = new Set(missing.filter((id) => this.#announced.has(id)));
  }

  announces(partId: string): boolean {
    return this.#announced.has(partId);
  }

  /** In the order of the announcement. */
  wanted(): string[] {
    return this.record.partIds.filter((id) => this.#remaining.has(id));
  }

  stored(partIds: Iterable<string>): void {
    for (const id of partIds) this.#remaining.delete(id);
  }

  /** What was learnt of the same answer elsewhere: what is stored stays stored. */
  learn(other: OpenUpload): void {
    for (const id of this.#remaining) if (!other.#remaining.has(id)) this.#remaining.delete(id);
  }

  get isComplete(): boolean {
    return this.#remaining.size === 0;
  }

  likelyMissing(limit: number): string[] {
    const some: string[] = [];
    for (const id of this.#remaining) {
      some.push(id);
      if (some.length === limit) break;
    }
    return some;
  }
}

/**
 * The upload a pushed part belongs to. The session is a hint, not a key: a client that never heard of sessions, or
 * whose session is older than this process, still names a part that is announced, and that decides.
 */
export const uploadOfPart = <T extends { readonly record: UploadRecord; announces(partId: string): boolean }>(
  uploads: readonly T[],
  part: { runId: bigint; partId: string; session: string },
): T => {
  const announcing = uploads.filter(
    (upload) => upload.record.task.runId === part.runId && upload.announces(part.partId),
  );
  const open = announcing.filter((upload) => upload.record.verdict === null);
  const found =
    announcing.find((upload) => upload.record.session === part.session) ?? newest(open.length > 0 ? open : announcing);
  if (!found) throw new AegisError('PART_NOT_ANNOUNCED', `Object ${part.partId}.`);
  return found;
};

const newest = <T extends { readonly record: UploadRecord }>(uploads: readonly T[]): T | undefined =>
  uploads.reduce<T | undefined>(
    (latest, upload) => (latest && latest.record.announcedAt >= upload.record.announcedAt ? latest : upload),
    undefined,
  );
