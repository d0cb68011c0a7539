import type { AnswerRecord, Verdict } from '../domain/answer.ts';
import type { AuditEvent } from '../domain/audit.ts';
import type { KeptUpdate, MaskedRound } from '../domain/masked-round.ts';
import type { Masking, Stage } from '../domain/masking.ts';
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
  /**
   * A masked round of a task begins, with what this node says first, and with the privacy event of its noised sum where there is one: it is charged
   * from here on. False, and nothing written: a round of these terms was begun for another task.
   */
  beginRound(round: MaskedRound, charge: string | null): boolean;
  masked(taskId: string): MaskedRound | null;
  /** Rounds that are not over, oldest first. */
  openRounds(): MaskedRound[];
  /** Terms of the run's masked task that came last; null: none was ever masked. */
  lastMasking(runId: bigint): Masking | null;
  /** The SuperNode's answer waits for its mask. The first one stands. */
  keepUpdate(taskId: string, update: KeptUpdate): void;
  /** The node answers the next stage. */
  advanceRound(taskId: string, stage: Stage, answer: string): void;
  /** The masked vector is the task's answer, and the stage `mask` is behind; both or none. False: the task has another answer. */
  maskRound(record: AnswerRecord): boolean;
  /** What was charged for a round whose vector never left is given back. */
  endRound(taskId: string, reason: string): void;
  /** Privacy events of all noised sums that this node is or was in, for good, each with how often it happened. */
  noiseCharges(): { event: string; count: number }[];
  /** The Rényi order at which they are added up; null: none is fixed yet. */
  noiseOrder(): number | null;
  /** The first one stands. Returns it. */
  fixNoiseOrder(order: number): number;
  /** Updates that left since then. */
  spentSince(time: number): Spent;
  close(): void;
}

/**
 * What the core knows of masked rounds, sealed: keys, seeds and shares. A state is worth one stage; what is read back is what was written
 * for exactly this task and stage, or nothing.
 */
export interface RoundSecrets {
  /** Durable when it resolves. Wipes the bytes. */
  seal(taskId: string, stage: Stage, state: Buffer): Promise<void>;
  /** null when it is lost: no file, another key, other bytes. The caller wipes what it gets. */
  open(taskId: string, stage: Stage): Promise<Buffer | null>;
  /** Everything of the task but the state of this stage. */
  dropBefore(taskId: string, stage: Stage): Promise<void>;
  drop(taskId: string): Promise<void>;
  /** Everything of tasks but these: what a crash left behind. */
  dropAllBut(taskIds: readonly string[]): Promise<void>;
}

/** Who this guard is: its own key, and the certificate that goes with it. What was kept is on disk. */
export interface IdentityStore {
  /** PKCS #8, PEM; null: it has none yet. CONFIG_INVALID for one that others may read. */
  key(): Promise<string | null>;
  keepKey(pem: string): Promise<void>;
  chain(): Promise<string | null>;
  keepChain(pem: string): Promise<void>;
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
  /** The whole model's file; written from `pieces` when it is not there, and only when `check` finds nothing wrong with them. */
  ensure(
    name: string,
    bytes: number,
    pieces: () => AsyncIterable<{ offset: number; content: Buffer }>,
    check: (read: (offset: number, length: number) => Promise<Buffer>) => Promise<void>,
  ): Promise<void>;
  read(modelId: string, offset: number, length: number): Promise<Buffer>;
}

/** The owner's own record of decisions; append-only. */
export interface Audit {
  write(event: AuditEvent): void;
}
