// Flower over HTTP/1.1: POST /v1/fleet/<method> and /v1/control/<method> with protobuf bodies, GET /health.

import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AegisError } from '@aegis/errors';
import type { ControlService } from './control-service.ts';
import type { CallHead, FleetService } from './fleet-service.ts';
import { announcedLength, type BodyMeter, discardRest, readBody } from './read-body.ts';
import { flowerStatus, httpErrorBody, type StatusOf } from './status.ts';

export interface HttpDoorOptions {
  fleet: FleetService;
  control: ControlService;
  /** GET /health answers 503 while this is false. */
  healthy?: () => boolean;
  /** Told of every call that failed; the caller was answered already. */
  onError?: (error: AegisError, where: { path: string; status: number; peer: string }) => void;
  /**
   * Asked before a byte of a body is read, told of each byte that arrives; it may refuse at both. `announced` = null when
   * the body does not say its length. Released when the answer is out.
   */
  admitBody?: (where: StatusOf, head: CallHead, announced: number | null) => BodyLease;
  /** Wraps the call: telemetry. */
  around?: <T>(where: { dialect: 'http' | 'grpc'; api: string; method: string }, run: () => Promise<T>) => Promise<T>;
}

export interface BodyLease extends BodyMeter {
  /** More than once is fine. */
  release(): void;
}

export interface HttpDoor {
  /** Takes the request if its path is Flower's; false = it is somebody else's and nothing was touched. */
  handle(request: IncomingMessage, response: ServerResponse): boolean;
}

const PROTOBUF = 'application/protobuf';
const STREAM = 'application/flower-protobuf-stream';
/** One for all: building an error with its stack for each is work nobody reads. */
const callerGone = new AegisError('UNAVAILABLE', 'The caller is gone.');

export function createHttpDoor(options: HttpDoorOptions): HttpDoor {
  const door = new Door(options);
  return { handle: (request, response) => door.handle(request, response) };
}

class Door {
  readonly #options: HttpDoorOptions;

  constructor(options: HttpDoorOptions) {
    this.#options = options;
  }

  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    if (path === '/health') {
      this.#health(response);
      return true;
    }
    const found = /^\/v1\/(fleet|control)\/([^/]*)$/.exec(path);
    if (found === null) return false;
    const where = {
      api: found[1] as 'fleet' | 'control',
      method: found[2] ?? '',
      flwrVersion: header(request, 'flwr-package-version'),
    };
    // A broken socket shows as an aborted call; nobody is left to tell.
    response.on('error', () => {});
    this.#serve(request, response, where).catch((caught: unknown) => this.#refuse(request, response, where, caught));
    return true;
  }

  #health(response: ServerResponse): void {
    const healthy = this.#options.healthy?.() ?? true;
    send(response, healthy ? 200 : 503, 'application/json', [
      Buffer.from(healthy ? '{"status":"ok"}' : '{"status":"unavailable"}'),
    ]);
  }

  async #serve(request: IncomingMessage, response: ServerResponse, where: StatusOf): Promise<void> {
    const { fleet, control, around, admitBody } = this.#options;
    const service = where.api === 'fleet' ? fleet : control;
    if (request.method !== 'POST') throw new AegisError('METHOD_UNKNOWN', 'Flower calls are POST requests.');
    const limit = service.limitOf(where.method);
    const mediaType = header(request, 'content-type').split(';', 1)[0]?.trim().toLowerCase();
    if (mediaType !== PROTOBUF) throw new AegisError('MEDIA_TYPE', `It says "${mediaType?.slice(0, 80)}".`);
    const gone = new AbortController();
    // 'close' also follows a finished answer.
    response.once('close', () => {
      if (!response.writableFinished) gone.abort(callerGone);
    });
    const head = headOf(request, gone.signal);
    const lease = admitBody?.(where, head, announcedLength(request));
    if (lease) response.once('close', () => lease.release());
    const body = await readBody(request, limit, { meter: lease });
    const run = async (): Promise<void> => {
      if (where.api === 'fleet') {
        send(response, 200, PROTOBUF, await fleet.call(where.method, body, head));
        return;
      }
      const answer = await control.call(where.method, body, head);
      if (answer.kind === 'message') send(response, 200, PROTOBUF, [answer.bytes]);
      else await stream(response, answer.messages, gone.signal);
    };
    await (around?.({ dialect: 'http', api: where.api, method: where.method }, run) ?? run());
  }

  #refuse(request: IncomingMessage, response: ServerResponse, where: StatusOf, caught: unknown): void {
    const status = flowerStatus(caught, where);
    const path = `/v1/${where.api}/${where.method.slice(0, 64)}`;
    if (response.destroyed || response.closed) return;
    this.#options.onError?.(AegisError.from(caught), { path, status: status.http, peer: peerOf(request) });
    // Cut off what has begun: a clean end would pass for a complete answer.
    if (response.headersSent) {
      response.destroy();
      return;
    }
    if (status.http === 401 && where.api === 'control') response.setHeader('www-authenticate', 'Bearer');
    if (!request.complete) discardRest(request);
    send(response, status.http, 'application/json', [httpErrorBody(status)]);
  }
}

/** Pieces go out as they are, without being joined. */
function send(response: ServerResponse, status: number, mediaType: string, pieces: readonly Uint8Array[]): void {
  const length = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  response.writeHead(status, { 'content-type': mediaType, 'content-length': length });
  response.cork();
  for (const piece of pieces) if (piece.byteLength > 0) response.write(piece);
  response.end();
  response.uncork();
}

/** Frames of `uint32 big-endian length ‖ message`. Waits for a slow reader; ends the source when the reader is gone. */
async function stream(
  response: ServerResponse,
  messages: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const source = messages[Symbol.asyncIterator]();
  try {
    // The first message decides the status: an error before it is an ordinary refusal.
    let next = await source.next();
    response.writeHead(200, { 'content-type': STREAM });
    response.flushHeaders();
    while (!next.done && !signal.aborted) {
      const frame = Buffer.alloc(4);
      frame.writeUInt32BE(next.value.byteLength);
      if (!response.write(Buffer.concat([frame, next.value]))) await once(response, 'drain', { signal });
      next = await source.next();
    }
    response.end();
  } finally {
    await source.return?.();
  }
}

const header = (request: IncomingMessage, name: string): string => {
  const value = request.headers[name];
  return typeof value === 'string' ? value : '';
};

const peerOf = (request: IncomingMessage): string => request.socket.remoteAddress ?? '';

const headOf = (request: IncomingMessage, signal: AbortSignal): CallHead => ({
  dialect: 'http',
  connection: request.socket,
  signal,
  peer: peerOf(request),
  text: (name) => header(request, name),
  binary: (name) => fromBase64(header(request, name)),
});

/** Standard base64 only: Buffer.from alone would skip over what does not belong. */
export function fromBase64(text: string): Buffer | null {
  if (text === '' || text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return null;
  return Buffer.from(text, 'base64');
}
