import { AegisError } from '@aegis/errors';
import {
  type BodyLease,
  type ControlService,
  type FleetService,
  flowerStatus,
  grpcDetails,
  limits,
} from '@aegis/flower-wire';
import { toGrpcStatus } from '@aegis/service-kit';
import { type Metadata, ServerInterceptingCall, type ServerInterceptor, type StatusObject } from '@grpc/grpc-js';
import type { Account } from '../domain/account.ts';
import type { Admission } from '../flows/admission.ts';
import { identifyOperator, type OperatorParts } from '../flows/identify-operator.ts';
import type { AdmitBody } from './body-admission.ts';
import type { Counted } from './counted.ts';
import { receivedBy } from './grpc-receiving.ts';
import { Patience, withRetryHint } from './grpc-refusal.ts';
import { admitOperator } from './operator-door.ts';

export interface GrpcAdmissionParts {
  readonly fleet: FleetService;
  readonly control: ControlService;
  readonly admitBody: AdmitBody;
  readonly operators: OperatorParts;
  /** Largest message of an operator. */
  readonly operatorBytes: number;
  readonly counted: Counted;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Admission of bidirectional streams, by path. */
  readonly streams: ReadonlyMap<string, ServerInterceptor>;
  /** Asked of the peer of every call: identity of its live connection. */
  readonly connectionOf: (peer: string) => object | undefined;
  readonly admission: Pick<Admission, 'arrives'>;
}

/** Where a call comes from. */
interface From {
  readonly address: string;
  readonly connection: object;
}

/** What the head of a call decides, by the path it goes to. */
interface Entrance {
  /** Bytes of the largest message. */
  readonly limit: number;
  /** Compressed, a small message could become a large one. */
  readonly takesCompressed: boolean;
  /** Throws, or rejects, when this caller may not send. */
  admit(metadata: Metadata, from: From): BodyLease | Promise<BodyLease>;
  refuse(error: AegisError, metadata: Metadata, peer: string): Pick<StatusObject, 'code' | 'details'>;
}

/**
 * Every gRPC call passes here. Strangers are turned away by the head of their call, before their message is read; a
 * message is measured while it arrives, against the limit of its method and the room for bodies. grpc-js itself knows
 * one limit for all methods, the operator's.
 */
export const grpcAdmission = (parts: GrpcAdmissionParts): ServerInterceptor => {
  const patience = new Patience(parts.now);
  const entrances = new Map<string, Entrance>();
  const entranceOf = (path: string): Entrance => {
    // Only paths with a handler come here, so there are few.
    const entrance = entrances.get(path) ?? makeEntrance(parts, path);
    entrances.set(path, entrance);
    return entrance;
  };
  return (method, call) => {
    const peer = call.getPeer();
    // A call whose connection is gone already has none in common with any other.
    const from = { address: addressOf(peer), connection: parts.connectionOf(peer) ?? call };
    const stream = parts.streams.get(method.path);
    if (stream) return stream(method, call);
    const entrance = entranceOf(method.path);
    const receiving = receivedBy(call);
    let lease: BodyLease | undefined;
    /** While it is found out who calls, the request stays with its sender. */
    let judging: Promise<void> | undefined;
    let isOver = false;
    const meter: Pick<BodyLease, 'add'> = { add: (bytes) => judging ?? lease?.add(bytes) };
    const end = (): void => {
      isOver = true;
      receiving.unwatch();
      lease?.release();
    };
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            const turnAway = (caught: unknown): void => {
              end();
              const error = AegisError.from(caught);
              call.sendStatus(withRetryHint(entrance.refuse(error, metadata, from.address), error));
              if (error.code === 'RATE_LIMIT') patience.refused(from.connection);
            };
            const enter = (admitted: BodyLease): void => {
              judging = undefined;
              lease = admitted;
              if (isOver) lease.release();
              else proceed(metadata);
            };
            try {
              const admitted = entrance.admit(metadata, from);
              if (admitted instanceof Promise) judging = admitted.then(enter, turnAway);
              receiving.watch({ ...entrance, meter, onRefused: turnAway });
              if (!(admitted instanceof Promise)) enter(admitted);
            } catch (caught) {
              turnAway(caught);
            }
          },
          // Also after every answer, whoever gave it.
          onCancel: () => {
            end();
            receiving.stop();
          },
        }),
      sendStatus: (outcome, next) => {
        end();
        next(outcome);
      },
    });
  };
};

const makeEntrance = (parts: GrpcAdmissionParts, path: string): Entrance => {
  const [, service = '', rpc = ''] = path.split('/');
  const method = rpc.replaceAll(/[A-Z]/g, (letter, at) => `${at === 0 ? '' : '-'}${letter.toLowerCase()}`);
  if (service === 'flwr.proto.Fleet') return flower(parts, 'fleet', method, limitOf(parts.fleet, method));
  // The tunnel: its message holds one of Fleet.
  if (service === 'flwr.proto.GrpcAdapter') return flower(parts, 'fleet', 'adapter', limits.object + 2 * limits.head);
  if (service.startsWith('flwr.proto.')) return flower(parts, 'control', method, limitOf(parts.control, method));
  if (service === OPERATOR) return operator(parts, path);
  return { ...operator(parts, path), limit: limits.head, takesCompressed: false, admit: anybody(parts, service) };
};

/** Those who bring an invitation, or renew a certificate; who logs in; and who asks whether we are well. */
const anybody =
  ({ admission }: GrpcAdmissionParts, service: string): Entrance['admit'] =>
  (_metadata, from) => {
    if (service !== HEALTH) admission.arrives(service === LOG_IN ? 'control' : 'enrolment', from);
    return free;
  };

const flower = (
  { admitBody, counted }: GrpcAdmissionParts,
  api: 'fleet' | 'control',
  method: string,
  limit: number,
): Entrance => ({
  limit,
  takesCompressed: false,
  admit: (metadata, from) => admitBody({ api, method }, headOf(metadata, from), null),
  refuse: (error, metadata, peer) => {
    const where = { api, method, flwrVersion: textOf(metadata, 'flwr-package-version') };
    const { grpc, http } = flowerStatus(error, where);
    counted.refused('grpc', error, { path: `${api}/${method}`, status: http, peer });
    return { code: grpc, details: grpcDetails(error, where) };
  },
});

const operator = ({ operators, operatorBytes, counted }: GrpcAdmissionParts, path: string): Entrance => {
  const rpc = path.split('/').at(-1) ?? '';
  return {
    limit: operatorBytes,
    takesCompressed: true,
    // Not counted as a body: whoever holds the token decides what fits.
    admit: (metadata, from) => {
      const enter = (account: Account): BodyLease => {
        admitOperator(metadata, account, rpc);
        return free;
      };
      const account = identifyOperator(operators, metadata.get('authorization')[0], from);
      return account instanceof Promise ? account.then(enter) : enter(account);
    },
    refuse: (error, _metadata, peer) => {
      const outcome = toGrpcStatus(error);
      counted.refused('operator', error, { path, status: outcome.code, peer });
      return outcome;
    },
  };
};

const free: BodyLease = { add: () => undefined, release: () => {} };

/** A method we only refuse needs no room for its request. */
const limitOf = (service: { limitOf(method: string): number }, method: string): number => {
  try {
    return service.limitOf(method);
  } catch {
    return limits.head;
  }
};

const OPERATOR = 'aegis.operator.v1.Operator';
const LOG_IN = 'aegis.operator.v1.LogIn';
const HEALTH = 'grpc.health.v1.Health';

/** Without the port. */
export const addressOf = (peer: string): string => peer.replace(/:\d{1,5}$/, '');

const headOf = (metadata: Metadata, { address, connection }: From): Parameters<AdmitBody>[1] => ({
  dialect: 'grpc',
  peer: address,
  connection,
  text: (name) => textOf(metadata, name),
  binary: (name) => {
    const value = metadata.get(`${name}-bin`)[0];
    return Buffer.isBuffer(value) ? value : null;
  },
});

const textOf = (metadata: Metadata, name: string): string => {
  const value = metadata.get(name)[0];
  return typeof value === 'string' ? value : '';
};
