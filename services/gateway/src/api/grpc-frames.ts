import { constants, type ServerHttp2Stream } from 'node:http2';
import { AegisError } from '@aegis/errors';
import { type BodyLease, limits } from '@aegis/flower-wire';
import { passedBytes } from '@aegis/service-kit';
import { type Metadata, ServerInterceptingCall, type ServerInterceptor, type StatusObject } from '@grpc/grpc-js';
import { streamOf } from './grpc-receiving.ts';
import { withRetryHint } from './grpc-refusal.ts';

/** One byte says whether the message is compressed, four its length. */
const PREFIX = 5;
const free: BodyLease = { add: () => undefined, release: () => {} };

export interface StreamRules {
  /** Bytes of the largest message until the handler says otherwise (`Frames.limit`). */
  readonly firstLimit: number;
  /** Asked by the head of a stream, may refuse; `peer`: its address and port. */
  readonly enter: (peer: string) => void;
  /** Room for one message of so many bytes; the message is read on when it has some. */
  readonly admit: (announced: number, holder: string | null) => BodyLease;
  readonly refuse: (error: AegisError, peer: string) => Pick<StatusObject, 'code' | 'details'>;
}

/** The messages of one call as they arrive, measured before grpc-js keeps them. */
export class Frames {
  limit: number;
  /** Whose room its messages take, as soon as that is known. */
  holder: string | null = null;
  readonly #stream: ServerHttp2Stream;
  readonly #admit: StreamRules['admit'];
  readonly #refuse: (error: unknown) => void;
  /** Of the messages that have arrived, and of the one that is arriving, in their order. */
  readonly #leases: BodyLease[] = [];
  #prefix = Buffer.alloc(0);
  #stall: NodeJS.Timeout | undefined;
  #left = 0;

  constructor(stream: ServerHttp2Stream, { firstLimit, admit }: StreamRules, refuse: (error: unknown) => void) {
    this.#stream = stream;
    this.limit = firstLimit;
    this.#admit = admit;
    this.#refuse = refuse;
  }

  /** The room of the next message that the handler takes; to be released when it is dealt with. */
  next(): BodyLease {
    return this.#leases.shift() ?? free;
  }

  /** For a client that does not even read how its call ended. */
  cut(): void {
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  /** Throws when the message is too large, compressed, or has no room. */
  arrived(piece: Buffer): void {
    passedBytes(piece.byteLength);
    for (let at = 0; at < piece.byteLength; ) {
      if (this.#left === 0) {
        const missing = PREFIX - this.#prefix.byteLength;
        this.#prefix = Buffer.concat([this.#prefix, piece.subarray(at, at + missing)]);
        at = Math.min(at + missing, piece.byteLength);
        if (this.#prefix.byteLength === PREFIX) this.#begin();
        continue;
      }
      const bytes = Math.min(this.#left, piece.byteLength - at);
      this.#left -= bytes;
      at += bytes;
      this.#count(bytes);
    }
  }

  release(): void {
    this.#noStall();
    for (const lease of this.#leases.splice(0)) lease.release();
  }

  #begin(): void {
    if (this.#prefix.readUInt8(0) !== 0)
      throw new AegisError('REQUEST_MALFORMED', 'Compressed messages are not taken.');
    const announced = this.#prefix.readUInt32BE(1);
    if (announced > this.limit) {
      throw new AegisError('BODY_TOO_LARGE', `A message has ${announced} bytes, at most ${this.limit} are taken.`);
    }
    this.#prefix = Buffer.alloc(0);
    this.#left = announced;
    this.#leases.push(this.#admit(announced, this.holder));
  }

  #count(bytes: number): void {
    const lease = this.#leases.at(-1) ?? free;
    const room = lease.add(bytes);
    if (room) {
      this.#noStall();
      this.#stream.pause();
      const goOn = (): void => {
        this.#stream.resume();
        this.#watchForStall();
      };
      // A message that is complete needs no more room: its lease may be given back while it waits.
      room.then(goOn, (error: unknown) => (this.#leases.includes(lease) ? this.#refuse(error) : goOn()));
    } else this.#watchForStall();
  }

  /** Room is taken for a message that has begun: it must go on arriving. */
  #watchForStall(): void {
    if (this.#left === 0) this.#noStall();
    else if (this.#stall) this.#stall.refresh();
    else this.#stall = setTimeout(() => this.#refuse(stalled()), limits.bodyIdleMs).unref();
  }

  #noStall(): void {
    clearTimeout(this.#stall);
    this.#stall = undefined;
  }
}

const stalled = (): AegisError => new AegisError('UNAVAILABLE', 'A message stopped arriving.');

const framesOfCall = new WeakMap<Metadata, Frames>();

/** What watches the call that came with this metadata. */
export const framesOf = (metadata: Metadata): Frames => {
  const frames = framesOfCall.get(metadata);
  if (frames) return frames;
  throw new AegisError('INTERNAL', 'A stream came past its admission.');
};

/** Admission of bidirectional streams: each message is held to a limit of its own, and their sum to the room for bodies. */
export const streamAdmission =
  (rules: StreamRules): ServerInterceptor =>
  (_method, call) => {
    const stream = streamOf(call);
    const refuse = (caught: unknown): void => {
      end();
      const error = AegisError.from(caught);
      call.sendStatus(withRetryHint(rules.refuse(error, call.getPeer().replace(/:\d{1,5}$/, '')), error));
    };
    const frames = new Frames(stream, rules, refuse);
    const look = (piece: Buffer): void => {
      try {
        frames.arrived(piece);
      } catch (caught) {
        refuse(caught);
      }
    };
    const end = (): void => {
      stream.off('data', look);
      frames.release();
    };
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            try {
              rules.enter(call.getPeer());
            } catch (caught) {
              return refuse(caught);
            }
            framesOfCall.set(metadata, frames);
            stream.prependListener('data', look);
            proceed(metadata);
          },
          // Also after every end, whoever chose it.
          onCancel: () => {
            end();
            if (!stream.readableEnded) setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
          },
        }),
    });
  };
