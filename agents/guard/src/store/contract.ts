import type { AnswerRecord, Verdict } from '../domain/answer.ts';
import type { AuditEvent } from '../domain/audit.ts';
import type { Spent } from '../domain/policy.ts';
import type { RunFacts } from '../domain/task.ts';

/** What survives a crash. Every method returns when what it did is on disk. One process at a time. */
export interface Journal {
  /** The id that the server knows this node by; null before it was ever welcomed. */
  nodeId(): bigint | null;
  rememberNode(nodeId: bigint): void;
  /** The run as it was described first. */
  run(runId: bigint): RunFacts | null;
  rememberRun(run: RunFacts): void;
  /** The one answer to a task. A second one is not written: the first is returned. */
  answer(record: AnswerRecord): AnswerRecord;
  answerTo(taskId: string): AnswerRecord | null;
  /** Answers without a verdict, oldest first. */
  unsettled(): AnswerRecord[];
  settle(taskId: string, verdict: Verdict): void;
  /** Updates that left since then. */
  spentSince(time: number): Spent;
  close(): void;
}

/** Files of answers that are being received or sent. */
export interface PartFiles {
  /** Durable when it resolves. Writing the same again changes nothing. */
  write(taskId: string, name: string, content: Buffer): Promise<void>;
  read(taskId: string, name: string, offset: number, length: number): Promise<Buffer>;
  drop(taskId: string): Promise<void>;
  /** Everything of tasks but these: what a crash left behind. */
  dropAllBut(taskIds: readonly string[]): Promise<void>;
}

/** Models as they were read from the server, so that a restarted SuperNode need not wait for them again. */
export interface ModelFiles {
  /** The whole model's file; written from `pieces` when it is not there. */
  ensure(
    modelId: string,
    bytes: number,
    pieces: () => AsyncIterable<{ offset: number; content: Buffer }>,
  ): Promise<void>;
  read(modelId: string, offset: number, length: number): Promise<Buffer>;
}

/** The owner's own record of decisions; append-only. */
export interface Audit {
  write(event: AuditEvent): void;
}
