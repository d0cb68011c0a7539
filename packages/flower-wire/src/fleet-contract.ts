// What a Flower SuperNode asks, in our own words. The gateway implements FleetHandler by calling its flows; the doors of
// this package translate every dialect into it. Handlers throw AegisError; the doors alone choose status codes.

import type { ConfigEntry } from './records.ts';

/** Which wire the caller speaks: protobuf over HTTP/1.1 (flwr 1.40 and newer) or gRPC (1.20 to 1.39). */
export type Dialect = 'http' | 'grpc';

/**
 * What the node presented with this call: complete and decodable, but not verified yet (see `checkCredential`).
 * Every release we serve sends one with every Fleet call, also a node without a configured key (it makes a throw-away key).
 */
export interface NodeCredential {
  publicKeyPem: Buffer;
  /** ISO 8601 as sent; the signature covers exactly these ASCII bytes. */
  timestamp: string;
  signature: Buffer;
  dialect: Dialect;
  /** "" when the client announces none (1.28 and older). */
  flwrVersion: string;
  /** Identity of the connection: the same object for all calls of one TCP/TLS connection, usable as a WeakMap key. */
  connection: object;
  /** A proxy on the way left its mark: the connection is not the node's own. */
  isForwarded(): boolean;
}

/** A tree of content-addressed objects. Equal subtrees may be the same JavaScript object. */
export interface ObjectTreeNode {
  readonly id: string;
  readonly children: readonly ObjectTreeNode[];
}

/** A Flower message without its content. */
export interface MessageHead {
  runId: bigint;
  messageId: string;
  sourceNodeId: bigint;
  destinationNodeId: bigint;
  replyTo: string;
  groupId: string;
  /** Seconds. */
  ttl: number;
  type: string;
  /** Unix seconds. */
  createdAt: number;
  sourceTaskId?: bigint;
  destinationTaskId?: bigint;
}

export interface MessageOffer {
  head: MessageHead;
  tree: ObjectTreeNode;
}

/** A node's reply as announced. `error` set = the node could not do the task; the tree is then the Message object alone. */
export interface ReplyHead extends MessageHead {
  error: { code: number; reason: string } | null;
}

/** A run as a node may see it: only overrides whose keys the app knows (an unknown key kills a stock SuperNode). */
export interface FlowerRun {
  runId: bigint;
  /** Non-zero and distinct per series: client state is shared across the runs of one series. */
  seriesId: bigint;
  appId: string;
  appVersion: string;
  appHash: string;
  overrides: ConfigEntry[];
  status: { status: string; subStatus: string; details: string };
  federation: string;
}

export interface FlowerFab {
  hash: string;
  content: Uint8Array;
  verifications: ReadonlyMap<string, string>;
}

/** `pending`: announced, not here yet, the node asks again. `unknown`: the node drops the message. */
export type ObjectAnswer = { state: 'found'; pieces: Uint8Array[] } | { state: 'pending' } | { state: 'unknown' };

export interface FleetHandler {
  register(c: NodeCredential, publicKey: Buffer): Promise<bigint>;
  activate(c: NodeCredential, publicKey: Buffer, heartbeatSeconds: number): Promise<bigint>;
  /** Releases 1.20 to 1.22: register under the credential's key if needed, and activate. */
  createNode(c: NodeCredential, heartbeatSeconds: number): Promise<bigint>;
  deactivate(c: NodeCredential, nodeId: bigint): Promise<void>;
  unregister(c: NodeCredential, nodeId: bigint): Promise<void>;
  /** Releases 1.20 to 1.22: the node leaves (deactivate; unregister when it enrolled itself). */
  deleteNode(c: NodeCredential, nodeId: bigint): Promise<void>;
  /** false ends the node's heartbeats for good while it goes on pulling: throw NODE_KEY_UNKNOWN to expel instead. */
  heartbeat(c: NodeCredential, nodeId: bigint, seconds: number): Promise<boolean>;
  /** Long poll, at most 20 s. `signal` aborts when the caller is gone: nothing may be assigned to it after that. */
  pullTask(c: NodeCredential, nodeId: bigint, signal: AbortSignal): Promise<MessageOffer | null>;
  confirm(c: NodeCredential, nodeId: bigint, runId: bigint, messageId: string): Promise<void>;
  run(c: NodeCredential, nodeId: bigint, runId: bigint): Promise<FlowerRun>;
  fab(c: NodeCredential, nodeId: bigint, runId: bigint, hash: string): Promise<FlowerFab>;
  pullObject(c: NodeCredential, nodeId: bigint, runId: bigint, objectId: string): Promise<ObjectAnswer>;
  /** `tree` is checked by the door (size, depth, ids, no cycle). Returns the ids to push and the session they belong to. */
  announce(
    c: NodeCredential,
    nodeId: bigint,
    reply: ReplyHead,
    tree: ObjectTreeNode,
    runtimeSeconds: number,
  ): Promise<{ wanted: string[]; session: string }>;
  /**
   * `content` is a view into the request: valid until the promise settles, copy what must live longer. Releases before
   * 1.34 send no session (""). false makes the node abandon the reply: only a deliberate refusal.
   */
  pushObject(
    c: NodeCredential,
    nodeId: bigint,
    runId: bigint,
    objectId: string,
    content: Buffer,
    session: string,
  ): Promise<boolean>;
}
