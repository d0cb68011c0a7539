// The one place that turns an AegisError into what a Flower client reads. What a status does to a stock client decides
// it: on a pull, anything but 503 (try again), 403 (that run is over) and 401 (leave) stops the node's work for good.

import { AegisError, type ErrorCode, type Kind } from '@aegis/errors';
import { status as grpcStatus } from '@grpc/grpc-js';
import { readsJsonDetails } from './versions.ts';

export interface StatusOf {
  api: 'fleet' | 'control';
  /** Kebab-case, as in the HTTP path. */
  method: string;
  flwrVersion: string;
}

export interface FlowerStatus {
  http: number;
  grpc: grpcStatus;
  /** Flower's own number, where it has one that fits. */
  code: number | undefined;
  detail: string;
}

type Pair = readonly [http: number, grpc: grpcStatus];

const byKind: Readonly<Record<Kind, Pair>> = {
  invalid: [400, grpcStatus.INVALID_ARGUMENT],
  unauthenticated: [401, grpcStatus.UNAUTHENTICATED],
  forbidden: [403, grpcStatus.PERMISSION_DENIED],
  'not-found': [404, grpcStatus.NOT_FOUND],
  conflict: [412, grpcStatus.FAILED_PRECONDITION],
  over: [403, grpcStatus.PERMISSION_DENIED],
  'too-large': [413, grpcStatus.RESOURCE_EXHAUSTED],
  unavailable: [503, grpcStatus.UNAVAILABLE],
  internal: [500, grpcStatus.INTERNAL],
};

const unavailable: Pair = [503, grpcStatus.UNAVAILABLE];
const precondition: Pair = [412, grpcStatus.FAILED_PRECONDITION];
const notOffered: Pair = [501, grpcStatus.UNIMPLEMENTED];

/** Flower has its own pair for these, whatever their kind. */
const byCode: Partial<Record<ErrorCode, Pair>> = {
  MEDIA_TYPE: [415, grpcStatus.INVALID_ARGUMENT],
  METHOD_UNKNOWN: [404, grpcStatus.UNIMPLEMENTED],
  METHOD_NOT_OFFERED: notOffered,
  ACCOUNTS_NOT_USED: notOffered,
  LOGIN_NOT_OFFERED: notOffered,
  PLAN_INVALID: precondition,
  APP_MALFORMED: precondition,
  APP_TOO_LARGE: precondition,
  NODE_KEY_INVALID: precondition,
};

const commonNumbers: Partial<Record<ErrorCode, number>> = { MEDIA_TYPE: 1002, REQUEST_MALFORMED: 1003 };

const fleetNumbers: Partial<Record<ErrorCode, number>> = {
  ENROLMENT_CLOSED: 2001,
  HEARTBEAT_INTERVAL: 2003,
};

const controlNumbers: Partial<Record<ErrorCode, number>> = {
  CONTROL_NOT_HERE: 9,
  RUN_NOT_FOUND: 16,
  RUN_FINISHED: 18,
  ACCOUNTS_NOT_USED: 19,
  NODE_KEY_INVALID: 22,
  NODE_KEY_IN_USE: 23,
  NODE_NOT_FOUND: 24,
  FEDERATION_NOT_FOUND: 25,
  PLAN_INVALID: 15,
  PLAN_MISSING: 33,
  APP_MALFORMED: 33,
  APP_TOO_LARGE: 33,
  APP_NOT_FOUND: 33,
  OPERATOR_UNAUTHENTICATED: 36,
  ACCOUNT_UNAUTHENTICATED: 36,
  ACCOUNT_FORBIDDEN: 9,
  LOGIN_REFUSED: 9,
  LOGIN_NOT_OFFERED: 19,
};

/** What releases before 1.30 compare the details with, to print their own sentence. */
const oldWords: Partial<Record<ErrorCode, string>> = {
  RUN_NOT_FOUND: 'Run ID not found',
  NODE_NOT_FOUND: 'Node ID not found for account',
  NODE_KEY_IN_USE: 'Public key already in use',
  NODE_KEY_INVALID: 'The provided public key is not valid',
  ACCOUNTS_NOT_USED: 'ControlServicer initialized without account authentication',
};

/** A stock node survives only 503, 403 and 401 here: the first three end its worker, the last its heartbeats. */
const fragile: ReadonlySet<string> = new Set(['pull-messages', 'get-run', 'get-fab', 'send-node-heartbeat']);

const longestDetail = 2000;

export function flowerStatus(caught: unknown, where: StatusOf): FlowerStatus {
  const error = AegisError.from(caught);
  const [http, grpc] = pairOf(error, where);
  return {
    http,
    grpc,
    code: numberOf(error, where),
    detail: `${error.code}: ${error.message}`.slice(0, longestDetail),
  };
}

function pairOf(error: AegisError, { api, method }: StatusOf): Pair {
  const { kind } = error.entry;
  const plain = byCode[error.code] ?? byKind[kind];
  if (api === 'control') return kind === 'over' ? precondition : plain;
  // A wrong media type never comes from a stock node.
  if (fragile.has(method) && error.code !== 'MEDIA_TYPE') {
    return kind === 'over' || kind === 'unauthenticated' ? plain : unavailable;
  }
  if (kind === 'too-large' && method.startsWith('push-')) return byKind.invalid;
  return plain;
}

function numberOf({ code, entry }: AegisError, { api, method }: StatusOf): number | undefined {
  if (commonNumbers[code] !== undefined) return commonNumbers[code];
  if (api === 'control')
    return controlNumbers[code] ?? (method === 'start-run' && entry.kind === 'internal' ? 14 : undefined);
  if (fleetNumbers[code] !== undefined) return fleetNumbers[code];
  if (entry.kind === 'over') return method === 'get-run' ? 2008 : method === 'get-fab' ? 2009 : 2007;
  if (entry.kind !== 'conflict') return undefined;
  return { 'activate-node': 2004, 'create-node': 2004, 'deactivate-node': 2005, 'unregister-node': 2006 }[method];
}

/** Flower's JSON body: `{"code": n, "detail": text}`, or `detail` alone. */
export function httpErrorBody({ code, detail }: FlowerStatus): Buffer {
  return Buffer.from(JSON.stringify(code === undefined ? { detail } : { code, detail }));
}

/** The status details a release reads: JSON since 1.30, plain words before. */
export function grpcDetails(caught: unknown, where: StatusOf): string {
  const status = flowerStatus(caught, where);
  if (!readsJsonDetails(where.flwrVersion)) {
    return (where.api === 'control' ? oldWords[AegisError.from(caught).code] : undefined) ?? status.detail;
  }
  return status.code === undefined
    ? status.detail
    : JSON.stringify({ code: status.code, public_message: status.detail, public_details: null });
}
