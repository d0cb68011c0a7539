import { agrees, type Said } from '../../domain/consent.ts';
import type { NodeKind } from '../../domain/presence.ts';
import type { ConsentView, LogLine, Mailbox, Peers, PresenceView, RunFeed, Secagg, Task } from '../contract.ts';
import { MemoryLedger } from './ledger.ts';

/** For tests and simulation: mailboxes, presence and feed that can be looked into and that outlive an aggregator. */
export class MemoryPeers implements Peers {
  readonly tasks = new Map<string, Task>();
  readonly mailbox: Mailbox;
  readonly presence: PresenceView;
  readonly feed: RunFeed;
  readonly ledger: MemoryLedger;
  /** Called for every task that is put. */
  onTask: (task: Task) => void = () => {};
  readonly kinds = new Map<bigint, NodeKind>();
  readonly units = new Map<bigint, string>();
  readonly users = new Map<bigint, string>();
  readonly masks = new Set<bigint>();
  readonly consents: ConsentView;
  private readonly said = new Map<bigint, readonly Said[]>();
  private readonly consentListeners = new Set<() => void>();
  /** Said, and not heard of before somebody reads it. */
  private readonly unheard = new Map<bigint, readonly Said[]>();
  secagg: Secagg | null = null;
  private readonly withdrawn = new Set<string>();
  private nodes: ReadonlySet<bigint> = new Set();
  private readonly late = new Set<bigint>();
  private readonly listeners = new Set<() => void>();
  private readonly lines = new Map<bigint, LogLine[]>();
  private readonly watchers = new Set<(runId: bigint) => void>();

  constructor(ledger = new MemoryLedger()) {
    this.ledger = ledger;
    this.mailbox = {
      put: async (tasks) => {
        for (const task of tasks) {
          if (this.tasks.has(task.taskId) || this.withdrawn.has(task.taskId)) continue;
          this.tasks.set(task.taskId, task);
          this.onTask(task);
        }
      },
      withdraw: async (tasks) => {
        for (const { taskId } of tasks) {
          this.tasks.delete(taskId);
          this.withdrawn.add(taskId);
        }
      },
      ofRun: async (runId) => [...this.tasks.values()].filter((task) => task.runId === runId),
    };
    this.presence = {
      online: () => this.nodes,
      kinds: () => this.kinds,
      units: (kind) => (kind === 'user' ? this.users : this.units),
      masks: () => this.masks,
      overdue: () => new Set(this.late),
      miss: (nodes) => {
        for (const node of nodes) this.late.add(node);
      },
      meet: (node) => this.arrive(node),
      assume: () => {},
      onChange: (listener) => {
        this.listeners.add(listener);
        return () => void this.listeners.delete(listener);
      },
    };
    this.consents = {
      agreed: (terms, runId) =>
        new Set([...this.said].filter(([, said]) => agrees(said, terms, runId)).map(([node]) => node)),
      refresh: async () => {
        for (const [node, said] of this.unheard) this.said.set(node, said);
        this.unheard.clear();
      },
      onChange: (listener) => {
        this.consentListeners.add(listener);
        return () => void this.consentListeners.delete(listener);
      },
    };
    this.feed = {
      log: (runId, text) => {
        const lines = this.lines.get(runId) ?? [];
        lines.push({ text, at: lines.length + 1 });
        this.lines.set(runId, lines);
        for (const watcher of this.watchers) watcher(runId);
      },
      flushed: async () => {},
      changed: (runId) => {
        for (const watcher of this.watchers) watcher(runId);
      },
      readLog: (runId, after, follow, signal) => this.readLog(runId, after, follow, signal),
      changes: async (signal) => this.changes(signal),
    };
  }

  setOnline(nodes: Iterable<bigint>): void {
    this.nodes = new Set(nodes);
    for (const listener of this.listeners) listener();
  }

  /** What nodes consent to from now on. `late`: nobody is told before a selection reads it. */
  setConsent(nodes: Iterable<bigint>, said: readonly Said[], { late = false } = {}): void {
    for (const node of nodes) (late ? this.unheard : this.said).set(node, said);
    if (!late) for (const listener of this.consentListeners) listener();
  }

  /** A gateway says that the node shows itself again. */
  arrive(node: bigint): void {
    if (!this.late.delete(node)) return;
    for (const listener of this.listeners) listener();
  }

  logOf(runId: bigint): string[] {
    return (this.lines.get(runId) ?? []).map((line) => line.text);
  }

  async close(): Promise<void> {}

  private async *readLog(runId: bigint, after: number, follow: boolean, signal: AbortSignal): AsyncIterable<LogLine> {
    const changes = this.changes(signal);
    let latest = after;
    do {
      for (const line of this.lines.get(runId) ?? []) {
        if (line.at <= latest) continue;
        latest = line.at;
        yield line;
      }
    } while (follow && !(await changes.next()).done);
  }

  private changes(signal: AbortSignal): AsyncGenerator<bigint, void> {
    const queue: bigint[] = [];
    let wake = (): void => {};
    const watcher = (runId: bigint): void => {
      queue.push(runId);
      wake();
    };
    this.watchers.add(watcher);
    signal.addEventListener('abort', () => wake(), { once: true });
    const watchers = this.watchers;
    return (async function* () {
      try {
        while (!signal.aborted) {
          const next = queue.shift();
          if (next !== undefined) yield next;
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        watchers.delete(watcher);
      }
    })();
  }
}
