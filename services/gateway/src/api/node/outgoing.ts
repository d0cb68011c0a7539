import type { AegisError } from '@aegis/errors';
import { toGrpcStatus } from '@aegis/service-kit';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { type ToSay, writeFrame } from './frames.ts';

/** What the client is told. Small frames queue; large ones go one by one, as fast as the client reads. */
export class Outgoing {
  readonly #call: ServerDuplexStream<Buffer, Buffer>;
  readonly #gone: AbortSignal;
  #ended = false;

  constructor(call: ServerDuplexStream<Buffer, Buffer>, gone: AbortSignal) {
    this.#call = call;
    this.#gone = gone;
  }

  get isOpen(): boolean {
    return !this.#ended && !this.#gone.aborted;
  }

  /** The client reads slower than it is answered. */
  get isBlocked(): boolean {
    return this.#call.writableNeedDrain;
  }

  say(frame: ToSay): void {
    if (this.isOpen) this.#call.write(writeFrame(frame));
  }

  /** Resolves when the bytes are on the wire, or never will be. */
  sayWith(frame: ToSay, content: Buffer): Promise<void> {
    if (!this.isOpen) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = (): void => {
      this.#gone.removeEventListener('abort', done);
      resolve();
    };
    this.#gone.addEventListener('abort', done, { once: true });
    this.#call.write(writeFrame(frame, content), done);
    return promise;
  }

  /** Resolves when the client has caught up, or has gone. */
  unblocked(): Promise<void> {
    if (!this.isBlocked || !this.isOpen) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = (): void => {
      this.#call.off('drain', done);
      this.#gone.removeEventListener('abort', done);
      resolve();
    };
    this.#call.once('drain', done);
    this.#gone.addEventListener('abort', done, { once: true });
    return promise;
  }

  /** Says nothing any more. With an error, that is the status of the call. */
  end(error?: AegisError): void {
    if (!this.isOpen) return;
    this.#ended = true;
    if (error) this.#call.emit('error', toGrpcStatus(error));
    else this.#call.end();
  }
}
