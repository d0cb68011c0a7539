export type FleetMethod =
  | 'RegisterNode'
  | 'ActivateNode'
  | 'DeactivateNode'
  | 'UnregisterNode'
  | 'SendNodeHeartbeat'
  | 'PullMessages'
  | 'PushMessages'
  | 'GetRun'
  | 'GetFab'
  | 'PushObject'
  | 'PullObject'
  | 'ConfirmMessageReceived';

/** Where the server is and which of our addresses a node comes from. */
export interface Place {
  host: string;
  port: number;
  localAddress: string;
}

/** One node's way to the server. The body is given in pieces so that megabytes are never joined in the driver. */
export interface Transport {
  call(method: FleetMethod, body: Uint8Array[], timeoutMs: number): Promise<Buffer>;
  /** Closes what is idle, as a stock client does with connections it has not used for a while. */
  forgetIdle(): void;
  close(): void;
}

/** What a stock SuperNode distinguishes (PROTOCOL §2.5). */
export type Refusal = 'retry' | 'run-over' | 'expelled' | 'fatal';

export class FleetError extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal, detail: string) {
    super(detail);
    this.refusal = refusal;
  }
}

export const totalLength = (pieces: Uint8Array[]): number => pieces.reduce((sum, piece) => sum + piece.length, 0);

/** Stock clients hand over a body in one piece; only ours, of megabytes that all nodes share, are not joined for that. */
const JOINED_BYTES = 64 * 1024;

export const joinedIfSmall = (pieces: Uint8Array[]): Uint8Array[] =>
  pieces.length > 1 && totalLength(pieces) <= JOINED_BYTES ? [Buffer.concat(pieces)] : pieces;
