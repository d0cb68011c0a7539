import type { IncomingMessage } from 'node:http';
import { AegisError } from '@aegis/errors';
import { passedBytes } from '@aegis/service-kit';
import { bodyBuffers } from './body-buffers.ts';
import { tooLarge } from './fleet-service.ts';
import { limits } from './limits.ts';

/** Accounts for one body while it is in memory. */
export interface BodyMeter {
  /**
   * So many bytes more have arrived. What it throws, or its promise rejects with, ends the request, and nothing of the body is
   * kept. Until the promise resolves no more is read: the rest waits with its sender.
   */
  add(bytes: number): Promise<void> | undefined;
}

export interface BodyReading {
  meter?: BodyMeter | undefined;
  /** Without a byte for so long the request ends: UNAVAILABLE, so that an honest client on a bad line tries again. */
  idleMs?: number | undefined;
}

/**
 * The whole body, refused as soon as it is known to be larger than `limit`: by its announced length before a byte is
 * read, else at the byte too many. What it holds follows what has arrived, never what was announced.
 */
export function readBody(request: IncomingMessage, limit: number, reading: BodyReading = {}): Promise<Buffer> {
  const { meter, idleMs = limits.bodyIdleMs } = reading;
  const announced = announcedLength(request);
  if (announced !== null && announced > limit) return Promise.reject(tooLarge(announced, limit));
  return new Promise((resolve, reject) => {
    const body = announced === null ? new Pieces() : new Filling(announced);
    const pace = new BodyPace();
    let length = 0;
    const stop = (): void => {
      clearTimeout(idle);
      request.off('data', onData);
      request.off('end', onEnd);
      request.off('error', onGone);
      request.off('close', onGone);
    };
    const refuse = (error: unknown): void => {
      stop();
      request.pause();
      reject(error);
    };
    const idle = setTimeout(() => refuse(new AegisError('UNAVAILABLE', 'The request stopped arriving.')), idleMs);
    const onData = (piece: Buffer): void => {
      idle.refresh();
      length += piece.byteLength;
      try {
        if (length > limit) throw tooLarge(length, limit);
        pace.arrived(length);
        const room = meter?.add(piece.byteLength);
        body.add(piece);
        passedBytes(piece.byteLength);
        if (!room) return;
        request.pause();
        room.then(() => {
          pace.begin();
          request.resume();
        }, refuse);
      } catch (caught) {
        refuse(caught);
      }
    };
    const onEnd = (): void => {
      stop();
      resolve(body.whole());
    };
    const onGone = (): void => {
      stop();
      reject(new AegisError('REQUEST_MALFORMED', 'The connection ended inside the request.'));
    };
    request.on('data', onData);
    request.on('end', onEnd);
    request.on('error', onGone);
    request.on('close', onGone);
  });
}

/** Bytes of the body by its head; null when it does not say. */
export function announcedLength({ headers }: IncomingMessage): number | null {
  const length = headers['content-length'];
  if (length !== undefined) return Number(length);
  return headers['transfer-encoding'] === undefined ? 0 : null;
}

/**
 * A client reads the answer only after it has sent everything, and a connection closed under its hands looks like a
 * network fault to retry. So the rest is read and thrown away, but not for ever: more than `most` bytes, or for too long, ends the
 * connection.
 */
export function discardRest(request: IncomingMessage, most: number = limits.discard): void {
  const { socket } = request;
  let left = most;
  const patience = setTimeout(() => socket.destroy(), limits.discardMs);
  const stop = (): void => {
    clearTimeout(patience);
    request.off('data', count);
    socket.off('close', stop);
  };
  const count = (piece: Buffer): void => {
    left -= piece.byteLength;
    if (left < 0) socket.destroy();
  };
  request.on('data', count);
  request.once('end', stop);
  socket.once('close', stop);
  request.resume();
}

/** Whether a body comes as fast as the slowest honest line brings it: one byte now and then would hold its room for long. */
export class BodyPace {
  readonly #now: () => number;
  #begunAt: number;
  #before = 0;
  #length = 0;

  /** `now`: monotonic milliseconds. */
  constructor(now = () => performance.now()) {
    this.#now = now;
    this.#begunAt = now();
  }

  /** It had to wait for us: counted from here. */
  begin(): void {
    this.#begunAt = this.#now();
    this.#before = this.#length;
  }

  /** `length`: bytes so far. UNAVAILABLE when it is too slow. */
  arrived(length: number): void {
    this.#length = length;
    const late = this.#now() - this.#begunAt - limits.bodyPatienceMs;
    if (late > 0 && length - this.#before < (late / 1_000) * limits.bodyPace) {
      throw new AegisError('UNAVAILABLE', 'The request arrives too slowly.');
    }
  }
}

/** Of a length nobody has announced. */
class Pieces {
  readonly #pieces: Buffer[] = [];

  add(piece: Buffer): void {
    this.#pieces.push(piece);
  }

  whole(): Buffer {
    return this.#pieces.length === 1 && this.#pieces[0] !== undefined ? this.#pieces[0] : Buffer.concat(this.#pieces);
  }
}

/** Who only announces gets little, and so does a body that waits for room; who has sent that much, room for a chunk. */
const FIRST_BYTES = 20 * 1024;
const CHUNK_BYTES = 6 * 2 ** 20;
/** How far the memory may run ahead of the bytes of a larger body. */
const GROWTH = 4;

/** Of an announced length: each piece goes to its place while it is still in the processor's cache. */
class Filling {
  readonly #announced: number;
  #bytes: Buffer = Buffer.alloc(0);
  #length = 0;

  constructor(announced: number) {
    this.#announced = announced;
  }

  add(piece: Buffer): void {
    const length = this.#length + piece.byteLength;
    // One piece that is everything stays where it is.
    if (this.#length === 0 && length === this.#announced) this.#bytes = piece;
    else {
      if (length > this.#bytes.byteLength) this.#grow(length);
      piece.copy(this.#bytes, this.#length);
    }
    this.#length = length;
  }

  whole(): Buffer {
    return this.#length === this.#bytes.byteLength ? this.#bytes : this.#bytes.subarray(0, this.#length);
  }

  #grow(needed: number): void {
    const room = needed <= FIRST_BYTES ? FIRST_BYTES : Math.max(CHUNK_BYTES, needed * GROWTH);
    const length = Math.max(needed, Math.min(room, this.#announced));
    const grown = length <= FIRST_BYTES ? Buffer.allocUnsafeSlow(length) : bodyBuffers.take(length);
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}
