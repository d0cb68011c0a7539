import type { Task } from './task.ts';

/** How often one task is offered to its node before it is given up. A lost answer is normal, three are a pattern. */
export const MAX_OFFERS = 3;
/** To a node that keeps a stream open every new stream is an offer: a bad network must not cost it the task. */
export const MAX_STREAM_OFFERS = 30;

interface Entry {
  readonly task: Task;
  offers: number;
  /** The node has it, or may have it: it was offered, or is from before this gateway began. */
  taken: boolean;
  /** `telling`: its round is being told that no answer will come. `settled`: it was told, or has the answer; the withdrawal is on the way. */
  state: 'open' | 'telling' | 'settled';
}

export interface NextTask {
  /** The oldest task that may still be offered. */
  readonly task: Task | null;
  /** Tasks that were offered often enough: their round must be told. */
  readonly exhausted: readonly Task[];
}

const nothing: ReadonlySet<string> = new Set();

/** The open tasks of every node, as far as this gateway has heard. Tasks come and go with the aggregator's word only. */
export class Mailbox {
  readonly #byNode = new Map<bigint, Map<string, Entry>>();
  readonly #letDown = new Set<bigint>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** True when the task is new here. */
  put(task: Task): boolean {
    const tasks = this.#byNode.get(task.nodeId) ?? new Map<string, Entry>();
    this.#byNode.set(task.nodeId, tasks);
    if (tasks.has(task.taskId)) return false;
    tasks.set(task.taskId, { task, offers: 0, taken: false, state: 'open' });
    this.#size += 1;
    return true;
  }

  withdraw(nodeId: bigint, taskId: string): Task | null {
    const tasks = this.#byNode.get(nodeId);
    const entry = tasks?.get(taskId);
    if (!tasks || !entry) return null;
    tasks.delete(taskId);
    if (tasks.size === 0) this.#byNode.delete(nodeId);
    this.#size -= 1;
    if (entry.state === 'open') this.#letDown.add(nodeId);
    return entry.task;
  }

  /** The task has its answer: never offer it again, although its withdrawal was not heard yet. */
  settle(nodeId: bigint, taskId: string): void {
    const entry = this.#byNode.get(nodeId)?.get(taskId);
    if (entry) entry.state = 'settled';
  }

  /** Not offered while its round is being told that no answer will come. */
  telling(nodeId: bigint, taskId: string): void {
    const entry = this.#byNode.get(nodeId)?.get(taskId);
    if (entry?.state === 'open') entry.state = 'telling';
  }

  /** Its round could not be told: it comes up again, unless somebody else has settled it meanwhile. */
  reopen(nodeId: bigint, taskId: string): void {
    const entry = this.#byNode.get(nodeId)?.get(taskId);
    if (entry?.state === 'telling') entry.state = 'open';
  }

  /** Every task of the node that was not withdrawn, settled ones included, oldest first. */
  ofNode(nodeId: bigint): Task[] {
    return this.#entries(nodeId).map((entry) => entry.task);
  }

  find(nodeId: bigint, taskId: string): Task | null {
    return this.#byNode.get(nodeId)?.get(taskId)?.task ?? null;
  }

  /** Tasks the node still owes an answer to. */
  open(nodeId: bigint): Task[] {
    return this.#entries(nodeId)
      .filter((entry) => entry.state === 'open')
      .map((entry) => entry.task);
  }

  /** What to offer the node now, besides what it has been told of already. Counts nothing yet: see `offered`. */
  next(nodeId: bigint, offers = MAX_OFFERS, except: Pick<ReadonlySet<string>, 'has'> = nothing): NextTask {
    const exhausted: Task[] = [];
    for (const entry of this.#entries(nodeId)) {
      if (entry.state !== 'open' || except.has(entry.task.taskId)) continue;
      if (entry.offers < offers) return { task: entry.task, exhausted };
      entry.state = 'telling';
      exhausted.push(entry.task);
    }
    return { task: null, exhausted };
  }

  /** Counts an offer: call it when the answer is about to be written to a caller that is there. */
  offered(nodeId: bigint, taskId: string): void {
    const entry = this.#byNode.get(nodeId)?.get(taskId);
    if (!entry) return;
    entry.offers += 1;
    entry.taken = true;
  }

  /** The node works on something: it need not call before that is done. */
  isAtTask(nodeId: bigint): boolean {
    for (const entry of this.#byNode.get(nodeId)?.values() ?? [])
      if (entry.taken && entry.state === 'open') return true;
    return false;
  }

  /** What was offered before this gateway began is not known: the node may be at work on any of it. */
  assumeTaken(nodeId: bigint): void {
    for (const entry of this.#byNode.get(nodeId)?.values() ?? []) entry.taken = true;
  }

  /** True once after a task of the node was withdrawn without its answer: the round gave it up. */
  wasGivenUp(nodeId: bigint): boolean {
    return this.#letDown.delete(nodeId);
  }

  // Task ids are ULIDs: their order is the order of creation.
  #entries(nodeId: bigint): Entry[] {
    const tasks = this.#byNode.get(nodeId);
    if (!tasks) return [];
    return [...tasks.values()].sort((a, b) => (a.task.taskId < b.task.taskId ? -1 : 1));
  }
}
