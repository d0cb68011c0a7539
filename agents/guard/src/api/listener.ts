import { createServer } from 'node:http';
import type { AegisError } from '@aegis/errors';
import {
  addFlowerServices,
  createHttpDoor,
  type FleetHandler,
  FleetService,
  grpcServerOptions,
  listenOnePort,
  type OnePort,
} from '@aegis/flower-wire';
import type { Logger } from '@aegis/service-kit';
import { Server } from '@grpc/grpc-js';

/** A loopback address of this machine, or of the network that the containers of a pod share. */
export interface Loopback {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

/** The loopback port that the SuperNode is told is its SuperLink: dialects A, B and C, through the gateway's own doors. */
export const listenForSuperNode = async (handler: FleetHandler, log: Logger, at: Loopback): Promise<OnePort> => {
  const fleet = new FleetService(handler);
  const onError = (error: AegisError, where: { path: string; status: number }): void =>
    log.debug({ code: error.code, detail: error.detail, ...where }, 'call of the SuperNode refused');
  const flower = createHttpDoor({ fleet, onError });
  const http = createServer((request, response) => {
    if (flower.handle(request, response)) return;
    response.writeHead(404).end();
    request.resume();
  });
  const grpc = new Server(grpcServerOptions);
  let port: OnePort | undefined;
  addFlowerServices(grpc, { fleet, connectionOf: (peer) => port?.connectionOf(peer), onError });
  port = await listenOnePort({ ...at, tls: null, http, grpc });
  return port;
};
