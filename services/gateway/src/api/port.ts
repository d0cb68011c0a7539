import { readFileSync } from 'node:fs';
import type { Server as HttpServer } from 'node:http';
import { AegisError } from '@aegis/errors';
import {
  addFlowerServices,
  ControlService,
  createHttpDoor,
  FleetService,
  grpcServerOptions,
  listenOnePort,
  type OnePort,
} from '@aegis/flower-wire';
import { healthService, type Secret, type Telemetry } from '@aegis/service-kit';
import { Server } from '@grpc/grpc-js';
import { type GatewayConfig, splitHostPort } from '../config.ts';
import type { Gateway } from '../flows/gateway.ts';
import { BodyBudget } from './body-budget.ts';
import type { Counted } from './counted.ts';
import { FlowerControl } from './flower/control.ts';
import { FlowerFleet } from './flower/fleet.ts';
import { operatorAdmission, pushAdmission } from './grpc-admission.ts';
import { httpServer, metricsServer } from './http.ts';
import { operatorService } from './operator.ts';
import { addServiceDoor } from './operator-door.ts';

const MIB = 2 ** 20;

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
  readonly token: Secret | undefined;
  readonly healthy: () => boolean;
}

/** Opens the one port: every dialect of Flower, the operator's door, health and metrics. */
export const openPort = async (config: GatewayConfig, parts: PortParts): Promise<GatewayPort> => {
  const { gateway, telemetry, counted, token, healthy } = parts;
  const { limits } = config;
  const fleet = new FleetService(
    new FlowerFleet(gateway, telemetry, {
      modelBytes: limits['model-cache-mib'] * MIB,
      messageBytes: limits['message-cache-mib'] * MIB,
      replyBytes: limits['reply-cache-mib'] * MIB,
    }),
  );
  const control = new ControlService(new FlowerControl(gateway), { now: () => gateway.clock.now() });
  const budget = new BodyBudget(limits['upload-mib'] * MIB);

  const flower = createHttpDoor({
    fleet,
    control,
    healthy,
    onError: (error, where) => counted.refused('http', error, where),
  });
  const http = httpServer({ flower, budget, counted, telemetry });
  const grpc = new Server({
    ...grpcServerOptions,
    'grpc.max_receive_message_length': limits['message-mib'] * MIB,
    interceptors: [pushAdmission(budget, counted), operatorAdmission(token, counted)],
  });
  let port: OnePort | undefined;
  addFlowerServices(grpc, {
    fleet,
    control,
    connectionOf: (peer) => port?.connectionOf(peer),
    onError: (error, where) => counted.refused('grpc', error, where),
  });
  const operator = operatorService(gateway);
  addServiceDoor(grpc, operator, counted);
  addServiceDoor(grpc, healthService(healthy, ['flwr.proto.Fleet', 'flwr.proto.Control', operator.name]), counted);

  port = await listenOnePort({
    ...splitHostPort(config.listen),
    tls: config.tls ? readCertificate(config.tls) : null,
    http,
    grpc,
    limits: { connections: limits.connections, connectionsPerAddress: limits['connections-per-address'] },
    onRefused: (reason, address, error) => {
      const refusal = new AegisError('UNAVAILABLE', reason, error);
      if (reason === 'handshake') gateway.log.debug({ address, err: error }, 'TLS handshake failed');
      else counted.refused('port', refusal, { path: address, status: undefined });
    },
  });
  const metrics = config.metrics ? await listenMetrics(config.metrics.address, telemetry) : undefined;
  counted.watch(gateway, port, budget);
  const opened = port;
  return {
    address: opened.address,
    drain: (graceMs) => opened.drain(graceMs),
    close: async () => {
      metrics?.close();
      metrics?.closeAllConnections();
      await opened.close();
    },
  };
};

const readCertificate = ({ cert, key }: { cert: string; key: string }) => {
  try {
    return { cert: readFileSync(cert), key: readFileSync(key) };
  } catch (error) {
    throw new AegisError('CONFIG_INVALID', `tls: ${cert} or ${key} cannot be read.`, error);
  }
};

const listenMetrics = async (address: string, telemetry: Telemetry): Promise<HttpServer> => {
  const { host, port } = splitHostPort(address);
  const server = metricsServer(telemetry);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return server;
};
