import { constants, type ServerHttp2Stream } from 'node:http2';
import { AegisError } from '@aegis/errors';
import { type BodyLease, BodyPace, limits } from '@aegis/flower-wire';
import { passedBytes } from '@aegis/service-kit';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';

/** One byte says whether the message is compressed, four its length. */
const PREFIX = 5;

export interface ReceivingRules {
  readonly limit: number;
  readonly takesCompressed: boolean;
  readonly meter: Pick<BodyLease, 'add'>;
  /** Called once; nothing is watched after. */
  readonly onRefused: (error: unknown) => void;
}

export interface Receiving {
  /** Looks at each piece of the request before grpc-js keeps it. */
  watch(rules: ReceivingRules): void;
  unwatch(): void;
  /** For an answered call: a client still sending is told to stop (RST_STREAM without an error, as HTTP/2 has it). */
  stop(): void;
}

/** The request of a call as it arrives. */
export const receivedBy = (call: ServerInterceptingCallInterface): Receiving => {
  const stream = streamOf(call);
  let unwatch = (): void => {};
  return {
    watch: ({ limit, takesCompressed, meter, onRefused }) => {
      const pace = new BodyPace();
      let length = 0;
      let prefix = Buffer.alloc(0);
      const refuse = (error: unknown): void => {
        unwatch();
        onRefused(error);
      };
      const idle = setTimeout(
        () => refuse(new AegisError('UNAVAILABLE', 'The request stopped arriving.')),
        limits.bodyIdleMs,
      );
      const look = (piece: Buffer): void => {
        idle.refresh();
        length += piece.byteLength;
        try {
          if (prefix.byteLength < PREFIX) {
            prefix = Buffer.concat([prefix, piece.subarray(0, PREFIX - prefix.byteLength)]);
            if (prefix.byteLength === PREFIX) check(prefix.readUInt8(0) !== 0 && !takesCompressed, prefix, limit);
          }
          if (length > limit + PREFIX) throw tooLarge(length - PREFIX, limit);
          pace.arrived(length);
          const room = meter.add(piece.byteLength);
          passedBytes(piece.byteLength);
          if (!room) return;
          stream.pause();
          room.then(() => {
            pace.begin();
            stream.resume();
          }, refuse);
        } catch (caught) {
          refuse(caught);
        }
      };
      const done = (): void => clearTimeout(idle);
      unwatch = () => {
        clearTimeout(idle);
        stream.off('data', look);
        stream.off('end', done);
      };
      // Before grpc-js, and without making the stream flow.
      stream.prependListener('data', look);
      stream.once('end', done);
    },
    unwatch: () => unwatch(),
    // Not at once: the answer leaves first, and an honest client's end of request is already on its way.
    stop: () => {
      if (stream.readableEnded) return;
      setImmediate(() => {
        if (!stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
      });
    },
  };
};

const check = (isCompressed: boolean, prefix: Buffer, limit: number): void => {
  if (isCompressed) throw new AegisError('REQUEST_MALFORMED', 'Compressed messages are not taken.');
  const announced = prefix.readUInt32BE(1);
  if (announced > limit) throw tooLarge(announced, limit);
};

const tooLarge = (length: number, limit: number): AegisError =>
  new AegisError('BODY_TOO_LARGE', `It has ${length} bytes, at most ${limit} are taken.`);

/**
 * grpc-js offers no limit per method and no way to stop a client that sends on; its innermost call has the HTTP/2
 * stream, which offers both. A release that keeps the stream elsewhere must not run without them.
 */
export const streamOf = (call: ServerInterceptingCallInterface): ServerHttp2Stream => {
  const { stream } = call as { stream?: ServerHttp2Stream };
  if (typeof stream?.prependListener === 'function' && typeof stream.close === 'function') return stream;
  throw new AegisError('INTERNAL', 'This release of @grpc/grpc-js does not show the stream of a call.');
};
