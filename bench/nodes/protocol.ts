// What the parent (the bench) and a process of simulated nodes say to each other over Node's IPC channel.

export type Dialect = 'http' | 'grpc';

export interface FleetOptions {
  host: string;
  port: number;
  /** PEM of the authority that signed the server's certificate. */
  ca: string;
  dialect: Dialect;
  nodes: number;
  /** Full train tasks after which a node leaves. 0: the nodes only connect (for small calls). */
  rounds: number;
  /** So many nodes of one process register at a time. */
  connectConcurrency: number;
  /** Stock SuperNodes wait 3,000 ms after an empty answer. */
  emptyPauseMs: number;
  /** Nodes come from so many loopback addresses, in turn: a server may limit the connections of one address. */
  addresses: number;
  /** Each node pulls and sends heartbeats from the moment it is connected, and never gets a task. */
  idle: boolean;
}

export interface IdleReport {
  seconds: number;
  /** Calls answered meanwhile. */
  pulls: number;
  heartbeats: number;
  /** What one took on average, a new connection included. */
  heartbeatMs: number;
  /** New TLS connections. */
  handshakes: number;
  /** Calls that had to be repeated. */
  retries: number;
  /** Nodes that gave up, since the start. */
  lost: number;
}

export interface CallsReport {
  calls: number;
  seconds: number;
  failed: number;
}

/** Heartbeats at a steady pace, whether or not those before were answered. */
export interface PacedReport {
  seconds: number;
  /** To be sent; answered within the five seconds that a stock node waits; refused or lost; answered too late. */
  due: number;
  answered: number;
  failed: number;
  late: number;
  /** Of the failed ones, how often each was given. */
  reasons: Record<string, number>;
  medianMs: number;
  /** Of 99 in 100. */
  longMs: number;
}

export interface RoundReport {
  round: number;
  /** Unix ms: the first node has its task, the last node has its task, the last answer is acknowledged. */
  firstTask: number;
  lastTask: number;
  lastAnswer: number;
}

export interface CallTimes {
  count: number;
  totalMs: number;
  longestMs: number;
}

export interface FleetReport {
  rounds: RoundReport[];
  /** By method of the Fleet API, as the nodes saw it; a held pull counts with its hold. */
  calls: Record<string, CallTimes>;
  nodesFinished: number;
  bytesPulled: number;
  bytesPushed: number;
  /** Bytes of array chunks only, without headers, structure and HTTP. */
  updateBytes: number;
  retries: number;
  emptyPulls: number;
  /** Tasks whose model was compared with the mean of the updates sent in the round before. */
  modelsChecked: number;
  cpuSeconds: number;
}

export type ToNodes =
  | { kind: 'start'; options: FleetOptions }
  | { kind: 'calls'; warmupSeconds: number; seconds: number }
  | { kind: 'paced'; perSecond: number; seconds: number }
  | { kind: 'idle'; settleSeconds: number; seconds: number }
  | { kind: 'stop' };

export type FromNodes =
  | { kind: 'connected' }
  | { kind: 'first-task'; round: number }
  | { kind: 'calls-begin' }
  | { kind: 'calls-end'; report: CallsReport }
  | { kind: 'paced-end'; report: PacedReport }
  | { kind: 'idle-begin' }
  | { kind: 'idle-end'; report: IdleReport }
  | { kind: 'finished'; report: FleetReport }
  | { kind: 'failed'; reason: string };
