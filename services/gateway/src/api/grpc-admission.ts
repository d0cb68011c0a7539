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
import type { Operators } from '../flows/operators.ts';
import type { AdmitBody } from './body-admission.ts';
import type { Counted } from './counted.ts';
import { receivedBy } from './grpc-receiving.ts';
import { admitOperator } from './operator-door.ts';

export interface GrpcAdmissionParts {
  readonly fleet: FleetService;
  readonly control: ControlService;
  readonly admitBody: AdmitBody;
  readonly operators: Pick<Operators, 'of'>;
  /** Largest message of an operator. */
  readonly operatorBytes: number;
  readonly counted: Counted;
  /** Admission of bidirectional streams, by path. */
  readonly streams: ReadonlyMap<string, ServerInterceptor>;
  /** Told of the peer of every call. */
  readonly heard: (peer: string) => void;
}

/** What the head of a call decides, by the path it goes to. */
interface Entrance {
  /** Bytes of the largest message. */
  readonly limit: number;
  /** Compressed, a small message could become a large one. */
  readonly takesCompressed: boolean;
  /** Throws when this caller may not send. `peer`: its address and port. */
  admit(metadata: Metadata, peer: string): BodyLease;
  refuse(error: AegisError, metadata: Metadata, peer: string): Pick<StatusObject, 'code' | 'details'>;
}

/**
 * Every gRPC call passes here. Strangers are turned away by the head of their call, before their message is read; a
 * message is measured while it arrives, against the limit of its method and the room for bodies. grpc-js itself knows
 * one limit for all methods, the operator's.
 */
export const grpcAdmission = (parts: GrpcAdmissionParts): ServerInterceptor => {
  const entrances = new Map<string, Entrance>();
  const entranceOf = (path: string): Entrance => {
    // Only paths with a handler come here, so there are few.
    const entrance = entrances.get(path) ?? makeEntrance(parts, path);
    entrances.set(path, entrance);
    return entrance;
  };
  return (method, call) => {
    const peer = call.getPeer();
    parts.heard(peer);
    const stream = parts.streams.get(method.path);
    if (stream) return stream(method, call);
    const entrance = entranceOf(method.path);
    const receiving = receivedBy(call);
    let lease: BodyLease | undefined;
    const end = (): void => {
      receiving.unwatch();
      lease?.release();
    };
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            const turnAway = (caught: unknown): void => {
              end();
              call.sendStatus(entrance.refuse(AegisError.from(caught), metadata, addressOf(peer)));
            };
            try {
              lease = entrance.admit(metadata, peer);
              receiving.watch({ ...entrance, meter: lease, onRefused: turnAway });
            } catch (caught) {
              return turnAway(caught);
            }
            proceed(metadata);
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
  if (service.startsWith('aegis.operator.')) return operator(parts, path);
  return { ...operator(parts, path), limit: limits.head, takesCompressed: false, admit: () => free };
};

const flower = (
  { admitBody, counted }: GrpcAdmissionParts,
  api: 'fleet' | 'control',
  method: string,
  limit: number,
): Entrance => ({
  limit,
  takesCompressed: false,
  admit: (metadata, peer) => admitBody({ api, method }, headOf(metadata, peer), null),
  refuse: (error, metadata, peer) => {
    const where = { api, method, flwrVersion: textOf(metadata, 'flwr-package-version') };
    const { grpc, http } = flowerStatus(error, where);
    counted.refused('grpc', error, { path: `${api}/${method}`, status: http, peer });
    return { code: grpc, details: grpcDetails(error, where) };
  },
});

const operator = ({ operators, operatorBytes, counted }: GrpcAdmissionParts, path: string): Entrance => ({
  limit: operatorBytes,
  takesCompressed: true,
  // Not counted as a body: whoever holds the token decides what fits.
  admit: (metadata) => {
    admitOperator(metadata, operators, path.split('/').at(-1) ?? '');
    return free;
  },
  refuse: (error, _metadata, peer) => {
    const outcome = toGrpcStatus(error);
    counted.refused('operator', error, { path, status: outcome.code, peer });
    return outcome;
  },
});

const free: BodyLease = { add: () => undefined, release: () => {} };

/** A method we only refuse needs no room for its request. */
const limitOf = (service: { limitOf(method: string): number }, method: string): number => {
  try {
    return service.limitOf(method);
  } catch {
    return limits.head;
  }
};

const addressOf = (peer: string): string => peer.replace(/:\d{1,5}$/, '');

const headOf = (metadata: Metadata, peer: string): Parameters<AdmitBody>[1] => ({
  dialect: 'grpc',
  get peer() {
    return addressOf(peer);
  },
  connection: metadata,
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
