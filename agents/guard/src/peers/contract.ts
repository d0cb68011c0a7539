import type { TlsMaterial } from '@aegis/service-kit';
import type { Verdict } from '../domain/answer.ts';
import type { Stage } from '../domain/masking.ts';
import type { Purpose } from '../domain/policy.ts';
import type { App, ConfigEntry, RunFacts, Task } from '../domain/task.ts';

export interface SentPart {
  readonly partId: string;
  readonly length: number;
}

export interface Submission {
  readonly taskId: string;
  /** Each tensor's parts in order: the bytes of one .npy file. */
  readonly tensors: readonly {
    readonly name: string;
    readonly parts: readonly SentPart[];
  }[];
  /** Joined, the parts are the masked vector: then nothing else leaves. */
  readonly masked: readonly SentPart[];
  readonly metrics: readonly ConfigEntry[];
}

export interface StageRequest {
  readonly stage: Stage;
  readonly request: string;
}

/**
 * The server, over a connection that comes and goes. Whatever is asked while it is away, or is lost with it, fails with
 * UNAVAILABLE; what the server refuses fails with its code.
 */
export interface Upstream {
  /** The node this guard is; waits for the first welcome. */
  nodeId(signal: AbortSignal): Promise<bigint>;
  /** Resolves when there is a connection. */
  connected(signal: AbortSignal): Promise<void>;
  readonly maxPartBytes: number;
  run(runId: bigint): Promise<RunFacts>;
  app(runId: bigint): Promise<App>;
  model(taskId: string, bytes: number): AsyncIterable<{ offset: number; content: Buffer }>;
  accepted(taskId: string): void;
  /** The parts that are still to be sent. */
  begin(taskId: string, partIds: readonly string[]): Promise<string[]>;
  part(taskId: string, partId: string, content: Buffer): Promise<void>;
  submit(submission: Submission): Promise<Verdict>;
  /**
   * Says what this node has for a stage and waits for the request of the next one, however long that takes; null: the node has said its
   * last word. SECAGG_ROUND_OVER when the round is over for it.
   */
  stage(taskId: string, stage: Stage, answer: string): Promise<StageRequest | null>;
  fail(taskId: string, code: number, reason: string): void;
}

export interface UpstreamEvents {
  offered(task: Task): void;
  withdrawn(taskId: string, reason: string): void;
  connected(nodeId: bigint): void;
  lost(reason: string, retryMs: number): void;
  /** The server has kept what the owner consents to. */
  consented(purposes: readonly Purpose[]): void;
  /** It did not, and will not over this connection. */
  notConsented(reason: string): void;
}

/** Where certificates come from: the node's and its issuer's, PEM. Fails with the server's code, UNAVAILABLE while it is away. `csr`: DER. */
export interface EnrolmentPeer {
  /** The same invitation with the same key gives the same certificate. */
  enrol(invitation: string, csr: Uint8Array): Promise<string>;
  /** Over a connection that shows the certificate to be followed. */
  renew(csr: Uint8Array, tls: TlsMaterial): Promise<string>;
}
