import type { TLSSocket } from 'node:tls';
import { resetOnClose } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import {
  addFlowerServices,
  ControlService,
  createHttpDoor,
  FleetService,
  grpcServerOptions,
  JOIN_PATH,
  listenOnePort,
  type OnePort,
} from '@aegis/flower-wire';
import { healthService, type Telemetry } from '@aegis/service-kit';
import { Server } from '@grpc/grpc-js';
import { type GatewayConfig, splitHostPort } from '../config.ts';
import type { Gateway } from '../flows/gateway.ts';
import type { Operators } from '../flows/operators.ts';
import { bodyAdmission } from './body-admission.ts';
import { BodyBudget } from './body-budget.ts';
import { CertifiedConnections } from './certified-connections.ts';
import type { Counted } from './counted.ts';
import { enrolmentService } from './enrolment.ts';
import { FlowerControl } from './flower/control.ts';
import { FlowerFleet } from './flower/fleet.ts';
import { addressOf, grpcAdmission } from './grpc-admission.ts';
import { streamAdmission } from './grpc-frames.ts';
import { httpServer } from './http.ts';
import { JoinDoor } from './join/door.ts';
import { Turns } from './join/turns.ts';
import { logInService } from './log-in.ts';
import { ModelBlocks } from './model-blocks.ts';
import { CONNECT_PATH, NODE_SERVICE, NodeDoor } from './node/door.ts';
import { operatorService } from './operator.ts';
import { addServiceDoor, admittedOperator } from './operator-door.ts';
import { PortCertificates } from './port-certificates.ts';
import { refusedConnections } from './refused-connections.ts';
import { RestDoor } from './rest/door.ts';
import { principalOfSocket, refuseConnection } from './screen-connection.ts';

const MIB = 2 ** 20;
/** A node has up to five calls at a time on its connection; whoever multiplexes more nodes opens more connections. */
const CALLS_PER_CONNECTION = 256;

export interface GatewayPort {
  readonly address: { host: string; port: number };
  /** Calls under way have `graceMs` to end; no new connections. */
  drain(graceMs: number): Promise<void>;
  close(): Promise<void>;
}

export interface PortParts {
  readonly gateway: Gateway;
  readonly telemetry: Telemetry;
  readonly counted: Counted;
  readonly operators: Operators;
  readonly healthy: () => boolean;
}

/** Opens the one port: every dialect of Flower, the operator's door, health and metrics. */
export const openPort = async (config: GatewayConfig, parts: PortParts): Promise<GatewayPort> => {
  const { gateway, telemetry, counted, operators, healthy } = parts;
  const { limits } = config;
  const fleet = new FleetService(
    new FlowerFleet(gateway, telemetry, {
      modelBytes: limits['model-cache-mib'] * MIB,
      messageBytes: limits['message-cache-mib'] * MIB,
      replyBytes: limits['reply-cache-mib'] * MIB,
    }),
  );
  const control = new ControlService(new FlowerControl(gateway), { now: () => gateway.clock.now() });
  const budget = new BodyBudget(limits['upload-mib'] * MIB, limits['upload-wait-seconds'] * 1_000);

  const { admission, clock } = gateway;
  const admitBody = bodyAdmission({ budget, admission, now: () => clock.now() });

  const flower = createHttpDoor({
    fleet,
    control,
    healthy,
    admitBody,
    onError: (error, where) => counted.refused('http', error, where),
  });
  let port: OnePort | undefined;
  const operatorBytes = limits['message-mib'] * MIB;
  const models = new ModelBlocks(gateway.aggregator, limits['model-cache-mib'] * MIB);
  const rest = gateway.restKeys && new RestDoor({ gateway, operators, telemetry, counted, budget, models });
  const http = httpServer({ flower, rest, counted, telemetry });
  http.on('request', () => counted.called('http'));
  http.on('checkContinue', () => counted.called('http'));
  const connectionOf = (peer: string): object | undefined => port?.connectionOf(peer);
  const nodes = new NodeDoor({ gateway, telemetry, counted, budget, models, connectionOf });
  // Whole models in one message: they have room of their own, so that they never take it from those who send parts.
  const turns = new Turns((limits['upload-mib'] * MIB) / 2);
  const joined = new JoinDoor(
    { gateway, telemetry, counted, models, turns, messageBytes: operatorBytes },
    { offered: config.join },
  );
  const streams = new Map([
    [CONNECT_PATH, streamAdmission(nodes.admission())],
    [JOIN_PATH, streamAdmission(joined.admission())],
  ]);
  const grpc = new Server({
    ...grpcServerOptions,
    // Of the largest there is; grpcAdmission holds every method to its own.
    'grpc.max_receive_message_length': operatorBytes,
    'grpc.max_concurrent_streams': CALLS_PER_CONNECTION,
    interceptors: [
      grpcAdmission({
        ...{ fleet, control, admitBody, operatorBytes, counted, streams, admission },
        operators: { operators, accounts: gateway.accounts, admission },
        connectionOf: (peer) => {
          counted.called('grpc');
          return connectionOf(peer);
        },
        now: () => clock.monotonic(),
      }),
    ],
  });
  addFlowerServices(grpc, {
    fleet,
    control,
    connectionOf,
    onError: (error, where) => counted.refused('grpc', error, where),
  });
  nodes.addTo(grpc);
  joined.addTo(grpc);
  const enrolment = { callerOf: (_: unknown, peer: string) => peer, door: 'enrolment' as const };
  addServiceDoor(grpc, enrolmentService(gateway, connectionOf), counted, enrolment);
  const logIn = logInService(gateway.accounts);
  const callerOf = (_: unknown, peer: string): string => addressOf(peer);
  addServiceDoor(grpc, logIn, counted, { callerOf });
  const operator = operatorService(gateway);
  addServiceDoor(grpc, operator, counted, { callerOf: admittedOperator });
  addServiceDoor(
    grpc,
    healthService(healthy, ['flwr.proto.Fleet', 'flwr.proto.Control', NODE_SERVICE, operator.name]),
    counted,
  );

  const certificates = config.tls ? await PortCertificates.open(config.tls, gateway.issuer) : null;
  const live = new CertifiedConnections();
  port = await listenOnePort({
    ...splitHostPort(config.listen),
    tls: certificates?.tls ?? null,
    ...(gateway.certificates.rule !== 'off' && {
      screen: (socket: TLSSocket, connection: object) => screen(parts, live, socket, connection),
    }),
    http,
    grpc,
    limits: {
      connections: limits.connections,
      connectionsPerAddress: limits['connections-per-address'],
      callsOfStrangers: limits['calls-of-strangers'],
    },
    admits: (address, connection) => admission.begins(address, connection),
    secured: (socket, connection) => admission.sameConnection(connection, socket),
    resetOnClose,
    onRefused: refusedConnections(telemetry, gateway.log, { now: () => clock.now(), counted }),
  });
  admission.onProved = (connection) => port?.vouchFor(connection);
  counted.watch(gateway, port, budget, { nodes, joined });
  const opened = port;
  const { log } = gateway;
  const stopLooking = certificates?.watch({ port: opened, live, clock, log, telemetry, counted });
  return {
    address: opened.address,
    drain: (graceMs) => opened.drain(graceMs),
    close: async () => {
      stopLooking?.();
      await opened.close();
    },
  };
};

/** Whether the connection may go on. A bad certificate is worse than none: whoever shows one is told, and let nowhere. */
const screen = (
  { gateway, counted }: PortParts,
  live: CertifiedConnections,
  socket: TLSSocket,
  connection: object,
): boolean => {
  try {
    const principal = principalOfSocket(socket);
    // Doors know a connection by its TCP socket or by its TLS one.
    if (principal) {
      for (const known of [socket, connection]) gateway.certificates.belongs(known, principal);
      live.add(socket);
    }
    return true;
  } catch (caught) {
    const error = AegisError.from(caught);
    const peer = socket.remoteAddress ?? '';
    counted.refused('port', error, { path: '', status: undefined, peer });
    refuseConnection(socket, error);
    return false;
  }
};
