import type { Claims } from '../domain/account.ts';
import type {
  Balance,
  BudgetAlert,
  BudgetEdit,
  Budgets,
  LedgerEntries,
  LedgerVerdict,
  PrivacyStatement,
} from '../domain/ledger.ts';
import type { PresenceChange } from '../domain/presence.ts';
import type {
  AppBundle,
  LogLines,
  ModelFacts,
  ModelVersion,
  RunEvent,
  RunOwner,
  RunSummary,
  RunView,
  Update,
} from '../domain/run.ts';
import type { StageAnswer, StageNews } from '../domain/stage.ts';
import type { ConfigEntry, Task, TaskRef } from '../domain/task.ts';
import type { Verdict } from '../domain/upload.ts';

/** The aggregator as nodes need it. Failures are AegisErrors with the aggregator's code. */
export interface AggregatorPeer {
  run(runId: bigint): Promise<RunView>;
  app(runId: bigint, appHash: string): Promise<AppBundle>;
  model(modelId: string): Promise<ModelFacts>;
  readModel(modelId: string, offset: number, length: number): Promise<Buffer>;
  /** Which parts are not durable yet. Refuses a task that is not open for its node. */
  missingParts(task: TaskRef, partIds: readonly string[]): Promise<string[]>;
  /** Resolves when the part is durable; verifies that the id is the content's hash. */
  appendPart(task: TaskRef, partId: string, content: Buffer): Promise<void>;
  /** The part, or at least its first `length` bytes. */
  readPart(task: TaskRef, partId: string, length?: number): Promise<Buffer>;
  submit(task: TaskRef, update: Update): Promise<Verdict>;
  failTask(task: TaskRef, code: number, reason: string): Promise<void>;
}

/** The aggregator as people need it. */
export interface RunsPeer {
  /** `owner`: the account it will belong to, where there are accounts. */
  startRun(fab: Buffer, overrides: readonly ConfigEntry[], federation: string, owner?: RunOwner): Promise<StartedRun>;
  listRuns(query: { runId?: bigint | undefined; limit: number; skip: number }): Promise<RunSummary[]>;
  stopRun(runId: bigint): Promise<void>;
  /** The run's volume is lost; another aggregator begins its round anew. RUN_OWNED while its owner is at work. */
  takeOverRun(runId: bigint): Promise<void>;
  watchLog(runId: bigint, after: number, follow: boolean, signal: AbortSignal): AsyncIterable<LogLines>;
  watchRun(runId: bigint, signal: AbortSignal): AsyncIterable<RunEvent>;
  putPlan(plan: CapturedPlan): Promise<string>;
  listModels(runId: bigint | undefined): Promise<ModelVersion[]>;
  importModel(name: string, format: string, content: Buffer): Promise<ModelVersion>;
  exportModel(query: ExportQuery, signal: AbortSignal): AsyncIterable<{ fileName: string; content: Buffer }>;
}
export interface StartedRun {
  readonly runId: bigint;
  readonly seriesId: bigint;
  readonly note: string;
}
export interface CapturedPlan {
  readonly appHash: string;
  readonly appDigest: string;
  readonly appId: string;
  readonly planJson: string;
  readonly modelNpz: Buffer;
}
export interface ExportQuery {
  readonly modelId: string;
  readonly runId: bigint;
  readonly round: number;
  readonly format: string;
}

/** The privacy accountant as people need it. PRIVACY_NOT_SERVED where there is none. */
export interface LedgerPeer {
  setBudget(edit: BudgetEdit): Promise<Balance>;
  listBudgets(units: boolean): Promise<Budgets>;
  watch(signal: AbortSignal): AsyncIterable<BudgetAlert>;
  verify(): Promise<LedgerVerdict>;
  readEntries(query: { after: bigint; limit: number; runId: bigint }): Promise<LedgerEntries>;
  /** Of a run, or up to one of its models. */
  statement(runId: bigint, modelId: string): Promise<PrivacyStatement>;
}

/** The secagg service as nodes need it. SECAGG_ROUND_OVER where there is none. */
export interface SecaggPeer {
  /**
   * Keeps a node's answer and waits a while for its next request. An empty answer asks for what follows the one that was kept.
   * SECAGG_SECOND_ANSWER for another one than was kept, SECAGG_ROUND_OVER when the node is not asked any more.
   */
  exchange(task: TaskRef, answer: StageAnswer, signal: AbortSignal): Promise<StageNews>;
}

/** Tasks as the aggregator writes and withdraws them. */
export interface TaskFeed {
  /** Resolves when every task open right now was told; goes on until the signal. Survives outages of the bus. */
  follow(on: TaskListener, signal: AbortSignal): Promise<void>;
  /** The node's tasks as they stand in the store now: for a gateway that was asked before it heard. */
  ofNode(nodeId: bigint): Promise<Task[]>;
}
export interface TaskListener {
  put(task: Task): void;
  withdrawn(nodeId: bigint, taskId: string): void;
}

/** Best effort, all of it: a lost message is repaired by the next snapshot. */
export interface PresenceOut {
  changed(changes: readonly PresenceChange[]): void;
  snapshot(online: readonly PresenceChange[]): void;
  taskConfirmed(task: TaskRef): void;
  /** Somebody new asks for a snapshot. */
  onAsked(answer: () => void): void;
  /** Another gateway told who is online there. */
  onElsewhere(listener: (gatewayId: string, isSnapshot: boolean, changes: readonly PresenceChange[]) => void): void;
  /** Asks the others for a snapshot. */
  ask(): void;
}

/**
 * OpenID Connect, with us as the client (Core 1.0; device flow: RFC 8628). IDENTITY_PROVIDER_FAILED when it is away or breaks its
 * contract; nothing that it answers and no token is in an error.
 */
export interface IdentityProvider {
  beginLogin(): Promise<PendingLogin>;
  /** What became of a log-in. */
  collect(deviceCode: string): Promise<Login>;
  /** null: the provider takes the refresh token no more. `from`: address of whoever has it. */
  renew(refreshToken: string, from: string): Promise<AccountTokens | null>;
  /** Whether it is an ID token of this provider, made for us, and good now. */
  judge(idToken: string): Promise<IdTokenVerdict>;
}
export interface PendingLogin {
  readonly deviceCode: string;
  /** Where a person approves it; has the user code in it. */
  readonly verificationUri: string;
  /** Seconds from now. */
  readonly expiresIn: number;
  /** Seconds between two times to ask. */
  readonly interval: number;
}
export type Login =
  | { readonly state: 'granted'; readonly tokens: AccountTokens }
  | { readonly state: 'pending' }
  /** By the person, by the provider, or by time; `why` is the provider's error code. */
  | { readonly state: 'refused'; readonly why: string };
export interface AccountTokens {
  readonly idToken: string;
  /** "" when the provider gives none. */
  readonly refreshToken: string;
}
export type IdTokenVerdict =
  | { readonly state: 'good'; readonly claims: Claims }
  /** Genuine, and over. */
  | { readonly state: 'expired' }
  | { readonly state: 'bad'; readonly why: string };

/** Who certifies nodes for a short while. Fails with the issuer's codes, and UNAVAILABLE. */
export interface IssuerPeer {
  /** The node's certificate and the issuer's, PEM. `csr`: PKCS #10, DER; `invitation`: its id. */
  issue(request: { readonly name: string; readonly invitation: string; readonly csr: Uint8Array }): Promise<string>;
  renew(request: { readonly name: string; readonly csr: Uint8Array }): Promise<string>;
  /** Every certificate of this name, now and later. None was issued: fine. */
  revoke(name: string): Promise<void>;
  /** Its own certificate and the list of what it revoked, and those of before. */
  standing(): Promise<IssuerStanding>;
}

/** PEM; several where it took the place of others. */
export interface IssuerStanding {
  readonly certificates: string;
  readonly crl: string;
}

/** Tokens used of an allowance (flows/allowances.ts); negative: given back. */
export interface SpentElsewhere {
  readonly allowance: string;
  readonly tokens: number;
}

export interface AllowancesPeer {
  /** Tells the other gateways; lost while the bus is away. */
  spent(spent: readonly SpentElsewhere[]): void;
}
