// Whom the aggregator speaks to: the nodes' mailboxes, the gateways that see nodes come and go, and whoever watches a run.
import type { ConsentTerms } from '../domain/consent.ts';
import type { Request } from '../domain/flower-secagg/request.ts';
import type { Masking } from '../domain/masking.ts';
import type { RecordLayout, TaskKind } from '../domain/plan.ts';
import type { NodeKind } from '../domain/presence.ts';
import type { PrivacyUnit } from '../domain/privacy-plan.ts';
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
  /** Absent: the answer travels in the clear. */
  readonly masking?: Masking | undefined;
  /** A stage of Flower's SecAgg+; only the one that trains has a model and a configuration. */
  readonly flower?: Request | undefined;
}

export interface Mailbox {
  /** Tasks that are there already stay as they are, and those that were withdrawn stay away. Resolves when all are durable. */
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
  /**
   * Pseudonyms that privacy budgets know them by, or their users by: several nodes may have the same. Who has none cannot be charged, and takes
   * no part in private runs of that unit.
   */
  units(kind: PrivacyUnit): ReadonlyMap<bigint, string>;
  /** Those that take part in secure aggregation. */
  masks(): ReadonlySet<bigint>;
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

/** What nodes consent to, as the gateways keep it. */
export interface ConsentView {
  /** Who agrees to the run, as far as heard: before the first word, nobody. */
  agreed(terms: ConsentTerms, runId: bigint): ReadonlySet<bigint>;
  /** Resolves when everything is heard that was durable at the call. */
  refresh(): Promise<void>;
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

/** Bounded by budget: what may leave is paid for before it leaves. Its words are those of proto/aegis/privacy/v1. */
export interface Ledger {
  /** What all of a run would cost. Keeps nothing. */
  plan(request: { readonly policy: RunPolicy; readonly units: readonly string[] }): Promise<PlanAnswer>;
  /** The same key with the same content is the same reservation; with other content PRIVACY_KEY_CONFLICT. Durable when it answers. */
  reserve(request: ReserveRequest): Promise<LedgerAnswer>;
  /** What is sealed will leave; nothing may leave before. Idempotent; PRIVACY_RESERVATION_COMMITTED for another digest. */
  commit(request: CommitRequest): Promise<LedgerAnswer>;
  /** Nothing of it left, and nothing will. Idempotent; PRIVACY_RESERVATION_COMMITTED after a commit. */
  release(request: { readonly reservationId: string; readonly reason: string }): Promise<void>;
}

/** The same in every call of a run. */
export interface RunPolicy {
  readonly runId: bigint;
  readonly dataset: string;
  /** A declared part of it; absent: the whole. */
  readonly partition?: string;
  readonly unit: string;
  readonly epsilon: number;
  readonly delta: number;
  /** Events, as JSON, that the run may let out in all, with counts; without a noise multiplier only when it is planned. */
  readonly schedule: readonly string[];
}

export interface ReserveRequest {
  readonly key: string;
  readonly policy: RunPolicy;
  /** Pseudonyms of everybody whom the events may concern; at least one. */
  readonly units: readonly string[];
  readonly events: readonly string[];
}

export interface CommitRequest {
  readonly reservationId: string;
  /** What really happened; empty: as reserved. */
  readonly events: readonly string[];
  readonly resultDigest: string;
  /** What leaves beside it without noise. */
  readonly inTheClear: readonly string[];
}

export interface Refused {
  readonly granted: false;
  /** What was asked, what is left, what would fit. */
  readonly refusal: string;
}
export type LedgerAnswer = { readonly granted: true; readonly reservation: Reservation } | Refused;
export type PlanAnswer =
  | { readonly granted: true; readonly noiseMultiplier: number; readonly balances: readonly Balance[] }
  | Refused;

export interface Reservation {
  readonly reservationId: string;
  readonly state: 'reserved' | 'committed' | 'released';
  /** With this reservation in them. */
  readonly balances: readonly Balance[];
}

export interface Balance {
  readonly scope: 'run' | 'dataset' | 'unit';
  readonly epsilonBudget: number;
  readonly delta: number;
  /** Reserved and committed together; an upper bound. */
  readonly epsilon: number;
  /** Share of the budget, 0 to 1. */
  readonly used: number;
}

/**
 * One masked attempt at a round, as the secagg service leads it. It gets no vector; what it gives is one total mask. Everything may be asked
 * again. SECAGG_TOO_FEW, and nothing opened, when too few nodes go on; SECAGG_ROUND_OVER of an attempt that has ended.
 */
export interface Secagg {
  /** Before anybody is asked. SECAGG_KEY_CONFLICT when the same attempt was opened with other content. */
  open(attempt: MaskedAttempt, signal: AbortSignal): Promise<void>;
  /** Whose vectors can be taken; null: nothing yet, ask again. */
  awaitSharing(ref: MaskedRef, signal: AbortSignal): Promise<Sharing | null>;
  /** Held until the mask is there. The first survivors stand: SECAGG_KEY_CONFLICT for others. */
  unmask(ref: MaskedRef, survivors: readonly bigint[], signal: AbortSignal): Promise<TotalMask>;
  /** Also of an attempt that nobody opened. */
  end(ref: MaskedRef, reason: string, signal?: AbortSignal): Promise<void>;
}

export interface MaskedRef {
  readonly runId: bigint;
  /** Of the terms. */
  readonly round: number;
}

export interface MaskedAttempt extends MaskedRef {
  readonly masking: Masking;
  readonly cohort: readonly TaskAddress[];
  /** What the nodes start from. */
  readonly modelId: string;
  readonly traceparent: string;
}

export interface Sharing {
  readonly participants: readonly bigint[];
  readonly excluded: readonly { readonly nodeId: bigint; readonly reason: string }[];
}

export interface TotalMask {
  readonly confirmed: readonly bigint[];
  readonly opened: readonly bigint[];
  /** Packed. */
  readonly mask: Buffer;
}

export interface Peers {
  readonly mailbox: Mailbox;
  readonly presence: PresenceView;
  readonly consents: ConsentView;
  readonly feed: RunFeed;
  /** Null: no private run can be started here. */
  readonly ledger: Ledger | null;
  /** Null: no masked run can be started here. */
  readonly secagg: Secagg | null;
  close(): Promise<void>;
}
