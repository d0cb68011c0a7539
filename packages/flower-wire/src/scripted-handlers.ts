// In-memory handlers for tests of the doors: one node, tasks handed out in order, replies collected.

import { AegisError } from '@aegis/errors';
import type {
  AuthTokens,
  ControlCaller,
  ControlHandler,
  FederationListing,
  LoginDetails,
  LogLines,
  NodeListing,
  RunListing,
  StartRunCommand,
} from './control-contract.ts';
import type {
  FleetHandler,
  FlowerRun,
  MessageOffer,
  NodeCredential,
  ObjectAnswer,
  ObjectTreeNode,
  ReplyHead,
} from './fleet-contract.ts';
import { sha256HexSync } from './hash.ts';
import { idsOf } from './object-tree.ts';
import { type HeldObject, holdObject } from './objects.ts';
import type { ReadModel, RenderedMessage } from './render-task.ts';

export interface CollectedReply {
  head: ReplyHead;
  tree: ObjectTreeNode;
  objects: Map<string, HeldObject>;
  contents: Map<string, Buffer>;
  runtimeSeconds: number;
}

export interface ScriptedFleetOptions {
  nodeId: bigint;
  run: FlowerRun;
  fab: Buffer;
  read: ReadModel;
  /** Unwatched pulls are held this long. */
  holdMs?: number;
  verifications?: ReadonlyMap<string, string>;
}

export class ScriptedFleet implements FleetHandler {
  /** Every call in order, and whose connection it came on. */
  readonly calls: string[] = [];
  readonly connections = new Set<object>();
  readonly credentials: NodeCredential[] = [];
  readonly replies: CollectedReply[] = [];
  /** Thrown by the next call of that name. */
  readonly failNext = new Map<string, unknown>();
  abortedPulls = 0;
  readonly #options: ScriptedFleetOptions;
  readonly #queue: RenderedMessage[] = [];
  readonly #known = new Map<string, RenderedMessage>();
  readonly #waiting = new Set<() => void>();
  #reply: (CollectedReply & { wanted: Set<string> }) | undefined;
  #onReply: (() => void) | undefined;

  constructor(options: ScriptedFleetOptions) {
    this.#options = options;
  }

  offer(message: RenderedMessage): void {
    this.#queue.push(message);
    for (const id of message.objects.keys()) this.#known.set(id, message);
    for (const wake of this.#waiting) wake();
  }

  async waitForReplies(count: number): Promise<void> {
    while (this.replies.length < count) {
      await new Promise<void>((resolve) => {
        this.#onReply = resolve;
      });
    }
  }

  #enter(call: string, c: NodeCredential): void {
    this.calls.push(call);
    this.connections.add(c.connection);
    this.credentials.push(c);
    const failure = this.failNext.get(call);
    this.failNext.delete(call);
    if (failure !== undefined) throw failure;
  }

  async register(c: NodeCredential): Promise<bigint> {
    this.#enter('register', c);
    return this.#options.nodeId;
  }
  async activate(c: NodeCredential): Promise<bigint> {
    this.#enter('activate', c);
    return this.#options.nodeId;
  }
  async createNode(c: NodeCredential): Promise<bigint> {
    this.#enter('createNode', c);
    return this.#options.nodeId;
  }
  async deactivate(c: NodeCredential): Promise<void> {
    this.#enter('deactivate', c);
  }
  async unregister(c: NodeCredential): Promise<void> {
    this.#enter('unregister', c);
  }
  async deleteNode(c: NodeCredential): Promise<void> {
    this.#enter('deleteNode', c);
  }
  async heartbeat(c: NodeCredential): Promise<boolean> {
    this.#enter('heartbeat', c);
    return true;
  }

  async pullTask(c: NodeCredential, nodeId: bigint, signal: AbortSignal): Promise<MessageOffer | null> {
    this.#enter('pullTask', c);
    if (nodeId !== this.#options.nodeId) throw new AegisError('NODE_IDENTITY');
    if (this.#queue.length === 0) await this.#hold(signal);
    if (signal.aborted) {
      this.abortedPulls += 1;
      throw new AegisError('UNAVAILABLE', 'The caller is gone.');
    }
    const next = this.#queue.shift();
    return next === undefined ? null : { head: next.head, tree: next.tree };
  }

  #hold(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, this.#options.holdMs ?? 0);
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  async confirm(c: NodeCredential): Promise<void> {
    this.#enter('confirm', c);
  }
  async run(c: NodeCredential): Promise<FlowerRun> {
    this.#enter('run', c);
    return this.#options.run;
  }
  async fab(c: NodeCredential) {
    this.#enter('fab', c);
    const { fab, run, verifications } = this.#options;
    return { hash: run.appHash, content: fab, verifications: verifications ?? new Map<string, string>() };
  }

  async pullObject(c: NodeCredential, _nodeId: bigint, _runId: bigint, objectId: string): Promise<ObjectAnswer> {
    this.#enter('pullObject', c);
    const piece = this.#known.get(objectId)?.objects.get(objectId);
    if (piece === undefined) return { state: 'unknown' };
    if (piece.kind === 'bytes') return { state: 'found', pieces: [piece.bytes] };
    return { state: 'found', pieces: [piece.header, await this.#options.read(piece.offset, piece.length)] };
  }

  async announce(
    c: NodeCredential,
    _nodeId: bigint,
    head: ReplyHead,
    tree: ObjectTreeNode,
    runtimeSeconds: number,
  ): Promise<{ wanted: string[]; session: string }> {
    this.#enter('announce', c);
    const wanted = idsOf(tree);
    this.#reply = { head, tree, runtimeSeconds, objects: new Map(), contents: new Map(), wanted: new Set(wanted) };
    return { wanted, session: 'scripted' };
  }

  async pushObject(
    c: NodeCredential,
    _nodeId: bigint,
    _runId: bigint,
    objectId: string,
    content: Buffer,
  ): Promise<boolean> {
    this.#enter('pushObject', c);
    const reply = this.#reply;
    if (!reply?.wanted.has(objectId)) throw new AegisError('PART_NOT_ANNOUNCED');
    if (sha256HexSync([content]) !== objectId) throw new AegisError('PART_HASH');
    reply.objects.set(objectId, holdObject(content));
    reply.contents.set(objectId, Buffer.from(content));
    if (reply.objects.size === reply.wanted.size) {
      this.replies.push(reply);
      this.#onReply?.();
    }
    return true;
  }
}

/** Answers every command from fixed listings. */
export class ScriptedControl implements ControlHandler {
  readonly callers: ControlCaller[] = [];
  readonly started: StartRunCommand[] = [];
  readonly failNext = new Map<string, unknown>();
  runs: RunListing[] = [];
  nodes: NodeListing[] = [];
  federations: FederationListing[] = [];
  logs: LogLines[] = [];
  /** Keeps log streams open after the last line until the caller leaves. */
  follow = false;
  endedStreams = 0;

  #enter(call: string, c: ControlCaller): void {
    this.callers.push(c);
    const failure = this.failNext.get(call);
    this.failNext.delete(call);
    if (failure !== undefined) throw failure;
  }

  async startRun(c: ControlCaller, command: StartRunCommand) {
    this.#enter('startRun', c);
    this.started.push({ ...command, fab: Buffer.from(command.fab) });
    return { runId: 2n ** 63n + 5n, seriesId: 9n, note: '', federation: '@none/default' };
  }
  async listRuns(c: ControlCaller, query: { runId: bigint | null }) {
    this.#enter('listRuns', c);
    return this.runs.filter(({ runId }) => query.runId === null || query.runId === runId);
  }
  async *streamLogs(c: ControlCaller, _runId: bigint, _after: number, signal: AbortSignal): AsyncGenerator<LogLines> {
    try {
      this.#enter('streamLogs', c);
      yield* this.logs;
      if (this.follow) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    } finally {
      this.endedStreams += 1;
    }
  }
  async stopRun(c: ControlCaller): Promise<boolean> {
    this.#enter('stopRun', c);
    return true;
  }
  async beginLogin(c: ControlCaller): Promise<LoginDetails> {
    this.#enter('beginLogin', c);
    return { deviceCode: 'device', verificationUriComplete: 'https://idp.example/?code=A', expiresIn: 60, interval: 1 };
  }
  async collectTokens(c: ControlCaller, deviceCode: string): Promise<AuthTokens | null> {
    this.#enter('collectTokens', c);
    return deviceCode === 'device' ? { accessToken: 'access', refreshToken: 'refresh' } : null;
  }
  async refreshTokens(c: ControlCaller, refreshToken: string): Promise<AuthTokens> {
    this.#enter('refreshTokens', c);
    return { accessToken: `access after ${refreshToken}`, refreshToken: 'refresh again' };
  }
  async listNodes(c: ControlCaller): Promise<NodeListing[]> {
    this.#enter('listNodes', c);
    return this.nodes;
  }
  async registerNode(c: ControlCaller): Promise<bigint> {
    this.#enter('registerNode', c);
    return 77n;
  }
  async unregisterNode(c: ControlCaller): Promise<void> {
    this.#enter('unregisterNode', c);
  }
  async listFederations(c: ControlCaller): Promise<FederationListing[]> {
    this.#enter('listFederations', c);
    return this.federations;
  }
  async showFederation(c: ControlCaller, name: string): Promise<FederationListing> {
    this.#enter('showFederation', c);
    const found = this.federations.find((federation) => federation.name === name);
    if (found === undefined) throw new AegisError('FEDERATION_NOT_FOUND', name);
    return found;
  }
}
