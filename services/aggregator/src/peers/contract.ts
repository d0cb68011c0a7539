// Whom the aggregator speaks to: the nodes' mailboxes, the gateways that see nodes come and go, and whoever watches a run.
import type { RecordLayout, TaskKind } from '../domain/plan.ts';
import type { NodeKind } from '../domain/presence.ts';
import type { ConfigEntry } from '../domain/scalar.ts';

/** Work for one node. Immutable: published again after a restart, it is the same to the byte. */
export interface Task {
  readonly taskId: string;
  readonly runId: bigint;
  readonly round: number;
  readonly kind: TaskKind;
  readonly nodeId: bigint;
  /** Null for the initial model. */
  readonly modelId: string | null;
  readonly config: readonly ConfigEntry[];
  readonly layout: RecordLayout;
  /** Unix milliseconds. */
  readonly createdAt: number;
  readonly ttlSeconds: number;
  readonly groupId: string;
  readonly traceparent: string;
  /** Unix milliseconds after which the round no longer waits. */
  readonly deadline: number;
  /** The plan lets in clients without identity. */
  readonly join: boolean;
}

export interface Mailbox {
  /** Tasks that are there already stay as they are. Resolves when all are durable. */
  put(tasks: readonly Task[]): Promise<void>;
  /** Tasks that are gone already are fine. */
  withdraw(tasks: readonly TaskAddress[]): Promise<void>;
  /** Whatever is there of a run now, whoever put it. Looks into every mailbox: for the beginning and the end of an ownership. */
  ofRun(runId: bigint): Promise<TaskAddress[]>;
}

export interface TaskAddress {
  readonly nodeId: bigint;
  readonly taskId: string;
}

/** Who is online, as the gateways tell it. */
export interface PresenceView {
  online(): ReadonlySet<bigint>;
  /** Of those that cannot be given everything. */
  kinds(): ReadonlyMap<bigint, NodeKind>;
  /** Pseudonyms that privacy budgets know them by. Who has none cannot be charged, and takes no part in private runs. */
  units(): ReadonlyMap<bigint, string>;
  /** Those that let a deadline pass and have not shown themselves since: not to be selected. */
  overdue(): ReadonlySet<bigint>;
  miss(nodes: Iterable<bigint>): void;
  /** A call about its task is a sign of life, whatever becomes of it. */
  meet(node: bigint): void;
  /** Counts these as online until a gateway has had time to say otherwise. */
  assume(nodes: Iterable<bigint>): void;
  /** Called after every change; returns the way to stop it. */
  onChange(listener: () => void): () => void;
}

export interface LogLine {
  readonly text: string;
  /** Unix seconds. */
  readonly at: number;
}

/** What people follow. Nothing of a run depends on it: neither call fails, lines keep their order. */
export interface RunFeed {
  log(runId: bigint, line: string): void;
  /** Resolves when the lines so far are written or given up. */
  flushed(runId: bigint): Promise<void>;
  changed(runId: bigint): void;
  readLog(runId: bigint, after: number, follow: boolean, signal: AbortSignal): AsyncIterable<LogLine>;
  /** One item for each change of any run, until `signal` aborts. */
  changes(signal: AbortSignal): Promise<AsyncIterable<bigint>>;
}

export interface Peers {
  readonly mailbox: Mailbox;
  readonly presence: PresenceView;
  readonly feed: RunFeed;
  close(): Promise<void>;
}
