import type { Task } from './task.ts';

/** How often one task is offered to one SuperNode before it is given up. A lost message is normal, three are a pattern. */
export const MAX_OFFERS = 3;

interface Entry {
  readonly task: Task;
  offers: number;
}

export interface NextTask {
  readonly task: Task | null;
  /** Offered often enough without an answer: the server must be told. */
  readonly exhausted: readonly Task[];
}

/** Tasks that the policy allowed and that have no answer yet, oldest first. */
export class OpenTasks {
  readonly #entries = new Map<string, Entry>();

  put(task: Task): void {
    if (!this.#entries.has(task.taskId)) this.#entries.set(task.taskId, { task, offers: 0 });
  }

  find(taskId: string): Task | null {
    return this.#entries.get(taskId)?.task ?? null;
  }

  all(): Task[] {
    return [...this.#entries.values()].map(({ task }) => task);
  }

  remove(taskId: string): boolean {
    return this.#entries.delete(taskId);
  }

  next(): NextTask {
    const exhausted: Task[] = [];
    for (const { task, offers } of this.#entries.values()) {
      if (offers < MAX_OFFERS) return { task, exhausted };
      this.#entries.delete(task.taskId);
      exhausted.push(task);
    }
    return { task: null, exhausted };
  }

  offered(taskId: string): void {
    const entry = this.#entries.get(taskId);
    if (entry) entry.offers += 1;
  }

  /** Another SuperNode has begun, which was offered nothing yet. */
  forgetOffers(): void {
    for (const entry of this.#entries.values()) entry.offers = 0;
  }
}
