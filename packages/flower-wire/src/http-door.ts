// Flower over HTTP/1.1: POST /v1/fleet/<method> and /v1/control/<method> with protobuf bodies, GET /health.

import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AegisError } from '@aegis/errors';
import { bodyBuffers } from './body-buffers.ts';
import type { ControlService } from './control-service.ts';
import { Departure } from './departure.ts';
import type { CallHead, FleetService } from './fleet-service.ts';
import { limits } from './limits.ts';
import { announcedLength, type BodyMeter, discardRest, readBody } from './read-body.ts';
import { flowerStatus, httpErrorBody, type StatusOf } from './status.ts';

export interface HttpDoorOptions {
  fleet: FleetService;
  /** Left out: commands are not served here. */
  control?: ControlService;
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
/** For proxies and our own clients; stock SuperNodes wait by a rule of their own. */
const RETRY_SECONDS = '1';
const STREAM = 'application/flower-protobuf-stream';

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
    const service = where.api === 'fleet' ? fleet : offered(control);
    if (request.method !== 'POST') throw new AegisError('METHOD_UNKNOWN', 'Flower calls are POST requests.');
    const limit = service.limitOf(where.method);
    const mediaType = header(request, 'content-type').split(';', 1)[0]?.trim().toLowerCase();
    if (mediaType !== PROTOBUF) throw new AegisError('MEDIA_TYPE', `It says "${mediaType?.slice(0, 80)}".`);
    const departure = new Departure();
    const head = new HttpHead(request, departure);
    const lease = admitBody?.(where, head, announcedLength(request));
    // 'close' also follows a finished answer.
    response.once('close', () => {
      lease?.release();
      if (!response.writableFinished) departure.leave();
    });
    const body = await readBody(request, limit, { meter: lease });
    const run = async (): Promise<void> => {
      if (where.api === 'fleet') {
        const answer = await fleet.call(where.method, body, head);
        // The part is durable and nothing looks at it any more. After a failure somebody still might.
        if (where.method === 'push-object') bodyBuffers.giveBack(body);
        send(response, 200, PROTOBUF, answer);
        return;
      }
      const answer = await offered(control).call(where.method, body, head);
      if (answer.kind === 'message') send(response, 200, PROTOBUF, [answer.bytes]);
      else await stream(response, answer.messages, head.signal);
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
    if (status.http === 503) response.setHeader('retry-after', RETRY_SECONDS);
    // Whoever calls too often begins again with a connection: those are counted, too, and cost less to refuse.
    const error = AegisError.from(caught);
    if (error.code === 'RATE_LIMIT') response.setHeader('connection', 'close');
    if (!request.complete) discardRest(request, mostDiscarded(error, status.http));
    send(response, status.http, 'application/json', [httpErrorBody(status)]);
  }
}

/**
 * What of a refused body is read and thrown away, so that its sender reads the answer. Whoever calls too often comes again after a broken
 * connection just as well; and a stranger who announces much shall not cost us much.
 */
const mostDiscarded = (error: AegisError, status: number): number => {
  if (error.code === 'RATE_LIMIT') return limits.discardOfMany;
  return status === 401 ? limits.discardOfStrangers : limits.discard;
};

const offered = (control: ControlService | undefined): ControlService => {
  if (control) return control;
  throw new AegisError('METHOD_NOT_OFFERED');
};

/**
 * What is encrypted at once for one response: TLS holds all that it was given, encrypted, until the reader has taken it. When a
 * whole cohort pulls, its responses share the room.
 */
const SLICE = { least: 16 * 1024, most: 128 * 1024, together: 8 * 2 ** 20 };
let underWay = 0;
const sliceBytes = (): number => Math.max(SLICE.least, Math.min(SLICE.most, Math.floor(SLICE.together / underWay)));

/** Pieces go out as they are, without being joined; large ones no faster than the reader takes them. */
function send(response: ServerResponse, status: number, mediaType: string, pieces: readonly Uint8Array[]): void {
  const length = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  response.writeHead(status, { 'content-type': mediaType, 'content-length': length });
  response.cork();
  if (length > SLICE.most) void sendSlowly(response, pieces);
  else {
    for (const piece of pieces.slice(0, -1)) if (piece.byteLength > 0) response.write(piece);
    response.end(pieces.at(-1));
  }
  response.uncork();
}

async function sendSlowly(response: ServerResponse, pieces: readonly Uint8Array[]): Promise<void> {
  underWay += 1;
  try {
    for (const piece of pieces) {
      for (let at = 0; at < piece.byteLength; ) {
        if (response.destroyed) return;
        const slice = piece.subarray(at, at + sliceBytes());
        at += slice.byteLength;
        if (!response.write(slice)) await drained(response);
      }
    }
    response.end();
  } finally {
    underWay -= 1;
  }
}

/** Resolves when there is room again, or nobody left to write to. */
const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });

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

class HttpHead implements CallHead {
  readonly dialect = 'http';
  readonly #request: IncomingMessage;
  readonly #departure: Departure;

  constructor(request: IncomingMessage, departure: Departure) {
    this.#request = request;
    this.#departure = departure;
  }

  get connection(): object {
    return this.#request.socket;
  }

  get signal(): AbortSignal {
    return this.#departure.signal;
  }

  get peer(): string {
    return peerOf(this.#request);
  }

  text(name: string): string {
    return header(this.#request, name);
  }

  binary(name: string): Buffer | null {
    return fromBase64(header(this.#request, name));
  }
}

/** Standard base64 only. Buffer.from takes the URL alphabet too, and skips over what does not belong: then bytes are missing. */
export function fromBase64(text: string): Buffer | null {
  if (text === '' || text.length % 4 !== 0 || text.includes('-') || text.includes('_')) return null;
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  const bytes = Buffer.from(text, 'base64');
  return bytes.byteLength === (text.length / 4) * 3 - padding ? bytes : null;
}
