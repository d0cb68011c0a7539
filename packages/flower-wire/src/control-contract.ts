// What the `flwr` command asks, in our own words, for every release from 1.20 to 1.41.

import type { Dialect, FlowerRun } from './fleet-contract.ts';
import type { ConfigEntry } from './records.ts';

export interface ControlCaller {
  dialect: Dialect;
  /** "" when the client announces none (1.28 and older). */
  flwrVersion: string;
  /** The bearer token of the call, "" when there is none. */
  token: string;
  /** Identity of the connection. */
  connection: object;
  /** Sent along by commands over gRPC, which leave its use to the server; "" otherwise. */
  refreshToken: string;
  /** Remote address of the connection, without the port; "" when it is not known. */
  peer: string;
  /** Hands a command over gRPC its new tokens, with the answer; it keeps them. Before the answer begins. */
  renewed(tokens: AuthTokens): void;
}

/** Both are kept by the command; it takes neither alone. */
export interface AuthTokens {
  accessToken: string;
  refreshToken: string;
}

/** Of OAuth's device flow (RFC 8628). */
export interface LoginDetails {
  deviceCode: string;
  /** Where a person approves it; has the user code in it. */
  verificationUriComplete: string;
  /** Seconds from now. */
  expiresIn: number;
  /** Seconds between two times that the command asks for its tokens. */
  interval: number;
}

export interface StartRunCommand {
  /** The app bundle as uploaded, byte for byte; a view into the request. Empty when only `appSpec` is given. */
  fab: Buffer;
  /** What the client says the SHA-256 of the bundle is; checked by nobody yet. */
  fabHash: string;
  overrides: ConfigEntry[];
  federation: string;
  /** "@publisher/name==1.0" of Flower's hub; "" otherwise. */
  appSpec: string;
  seriesId: bigint | null;
}

export interface StartedRun {
  runId: bigint;
  seriesId: bigint;
  /** Printed by the command (1.30 and newer); "" = nothing. */
  note: string;
  federation: string;
}

/** Times are Unix seconds, 0 = not yet. */
export interface RunListing extends FlowerRun {
  pendingAt: number;
  startingAt: number;
  runningAt: number;
  finishedAt: number;
  bytesSent: bigint;
  bytesReceived: bigint;
  clientappSeconds: number;
  /** The account that started it; undefined: none did. */
  owner: { id: string; name: string } | undefined;
}

export interface NodeListing {
  nodeId: bigint;
  status: 'registered' | 'online' | 'offline' | 'unregistered';
  registeredAt: number;
  lastActivatedAt: number;
  lastDeactivatedAt: number;
  unregisteredAt: number;
  onlineUntil: number;
  heartbeatSeconds: number;
  publicKeyPem: Buffer;
  name: string;
  location: string;
}

export interface FederationListing {
  name: string;
  description: string;
  nodes: NodeListing[];
  runs: RunListing[];
}

export interface LogLines {
  text: string;
  /** Unix seconds of the newest line in `text`; the client comes back with it after a lost connection. */
  latest: number;
}

export interface ControlHandler {
  startRun(c: ControlCaller, command: StartRunCommand): Promise<StartedRun>;
  /** `limit` 0 = all. Newest first is what people expect; the client sorts again. */
  listRuns(c: ControlCaller, query: { runId: bigint | null; limit: number; skip: number }): Promise<RunListing[]>;
  /** Ends when the run is finished; `signal` aborts when the caller is gone. */
  streamLogs(
    c: ControlCaller,
    runId: bigint,
    after: number,
    signal: AbortSignal,
  ): AsyncIterable<LogLines> | Promise<AsyncIterable<LogLines>>;
  /** RUN_FINISHED when it is over already. */
  stopRun(c: ControlCaller, runId: bigint): Promise<boolean>;
  listNodes(c: ControlCaller): Promise<NodeListing[]>;
  registerNode(c: ControlCaller, publicKeyPem: Buffer, labels: { name: string; location: string }): Promise<bigint>;
  unregisterNode(c: ControlCaller, nodeId: bigint): Promise<void>;
  listFederations(c: ControlCaller): Promise<FederationListing[]>;
  showFederation(c: ControlCaller, name: string): Promise<FederationListing>;
  /** ACCOUNTS_NOT_USED where there are none. */
  beginLogin(c: ControlCaller): Promise<LoginDetails>;
  /** null: nobody has approved it yet. */
  collectTokens(c: ControlCaller, deviceCode: string): Promise<AuthTokens | null>;
  /** Over HTTP only. */
  refreshTokens(c: ControlCaller, refreshToken: string): Promise<AuthTokens>;
}
