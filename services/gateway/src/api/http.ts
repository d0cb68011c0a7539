import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { AegisError } from '@aegis/errors';
import { discardRest, flowerStatus, type HttpDoor, httpErrorBody } from '@aegis/flower-wire';
import type { Telemetry } from '@aegis/service-kit';
import type { Counted } from './counted.ts';
import type { RestDoor } from './rest/door.ts';

const HEADERS_TIMEOUT_MS = 15_000;
/** A part of 64 MiB over 1 Mbit/s takes nine minutes. */
const REQUEST_TIMEOUT_MS = 900_000;
/** Requests of one connection at a time. Nobody sends a second before the answer to the first, but for who means to fill our memory. */
const UNANSWERED = 16;

export interface HttpPatience {
  /** For the head of a request, from the connection's beginning or the first byte. */
  readonly headersMs: number;
  /** How often it is looked for requests whose time is over; Node's own is 30 s. */
  readonly lookMs: number;
  /** A reader that takes nothing of an answer for so long is cut off. */
  readonly stalledMs: number;
}
const patience: HttpPatience = { headersMs: HEADERS_TIMEOUT_MS, lookMs: 2_000, stalledMs: 60_000 };

export interface HttpParts {
  readonly flower: HttpDoor;
  /** Null: it is off. */
  readonly rest: RestDoor | null;
  readonly counted: Counted;
  readonly telemetry: Telemetry;
}

/** Everything that speaks HTTP/1.1 on the one port: Flower's paths and /health (its door), /api/v1, /metrics for callers on this machine. */
export const httpServer = (parts: HttpParts, less: Partial<HttpPatience> = {}): Server => {
  const { headersMs, lookMs, stalledMs } = { ...patience, ...less };
  const server = createServer({
    headersTimeout: headersMs,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: lookMs,
  });
  const unanswered = new WeakMap<Socket, number>();
  const take = (request: IncomingMessage, response: ServerResponse): void => {
    const { socket } = request;
    const count = (unanswered.get(socket) ?? 0) + 1;
    unanswered.set(socket, count);
    if (count > UNANSWERED) {
      // The parser still tells of all that came in one piece.
      if (!socket.destroyed) refuseAtOnce(parts.counted, request);
      return;
    }
    response.once('close', () => unanswered.set(socket, (unanswered.get(socket) ?? 1) - 1));
    serve(parts, request, response);
  };
  server.on('request', take);
  server.on('checkContinue', (request, response) => {
    continueWhenRead(request, response);
    take(request, response);
  });
  // Nothing went either way for so long: of a call that is held that is as it should be.
  server.timeout = stalledMs;
  server.on('timeout', (socket) => {
    if (socket.writableLength > 0 || (unanswered.get(socket) ?? 0) === 0) socket.destroy();
  });
  return server;
};

const refuseAtOnce = (counted: Counted, { socket, url = '' }: IncomingMessage): void => {
  const error = new AegisError('UNAVAILABLE', `More than ${UNANSWERED} requests at once on one connection.`);
  counted.refused('http', error, { path: url.slice(0, 100), status: undefined, peer: socket.remoteAddress });
  socket.destroy();
};

/** Whoever asks before it sends a body is told to send it when somebody reads it: not before it was refused, say for its signature. */
const continueWhenRead = (request: IncomingMessage, response: ServerResponse): void => {
  const { shouldKeepAlive } = response;
  // Refused, it may send the body or not: nobody could tell where the next request begins.
  response.shouldKeepAlive = false;
  request.once('resume', () => {
    if (response.headersSent) return;
    response.shouldKeepAlive = shouldKeepAlive;
    response.writeContinue();
  });
};

const serve = ({ flower, rest, counted, telemetry }: HttpParts, request: IncomingMessage, response: ServerResponse) => {
  const path = pathOf(request);
  if (flower.handle(request, response) || rest?.handle(request, response)) return;
  if (path === '/metrics' && request.method === 'GET' && isLoopback(request)) return sendMetrics(telemetry, response);
  refuse(counted, request, response, path, new AegisError('METHOD_UNKNOWN', path.slice(0, 100)));
};

const sendMetrics = (telemetry: Telemetry, response: ServerResponse): void => {
  telemetry.renderMetrics().then(
    (text) => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text),
    () => response.writeHead(500).end(),
  );
};

const refuse = (
  counted: Counted,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  error: AegisError,
): void => {
  const [, api = '', method = ''] = /^\/v1\/(fleet|control)\/([^/]*)$/.exec(path) ?? [];
  const status = flowerStatus(error, { api: api === 'control' ? 'control' : 'fleet', method, flwrVersion: '' });
  counted.refused('http', error, { path: path.slice(0, 100), status: status.http, peer: request.socket.remoteAddress });
  response.on('error', () => {});
  // The client must be able to send the rest, or it never reads the answer.
  if (!request.complete) discardRest(request);
  response.writeHead(status.http, { 'content-type': 'application/json' }).end(httpErrorBody(status));
};

const pathOf = (request: IncomingMessage): string => (request.url ?? '').split('?', 1)[0] ?? '';

const isLoopback = (request: IncomingMessage): boolean => {
  const address = request.socket.remoteAddress ?? '';
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
};
