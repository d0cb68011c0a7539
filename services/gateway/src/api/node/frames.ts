import { type ClientFrame, NodeService, type ServerFrame } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import { messageCodec, rawField } from '@aegis/service-kit';
import { checkShape } from './shape.ts';

const { requestSerialize, requestDeserialize, responseSerialize, responseDeserialize } = NodeService.connect;
const incoming = messageCodec(requestSerialize as never, requestDeserialize);
const outgoing = messageCodec(responseSerialize as never, responseDeserialize);
const CONTENT = 15;
const nothing = Buffer.alloc(0);

export type Said = NonNullable<ClientFrame['frame']>;
export type ToSay = NonNullable<ServerFrame['frame']>;

export interface Heard {
  readonly said: Said;
  /** A view into the frame: valid as long as whoever holds it likes, and never copied. */
  readonly content: Buffer;
}

/** Throws REQUEST_MALFORMED for whatever is not one frame of a client. */
export const readFrame = (bytes: Buffer): Heard => {
  const { head, body } = rawField.split(bytes, CONTENT);
  checkShape(head);
  const { frame } = decode(head);
  if (!frame) throw new AegisError('REQUEST_MALFORMED', 'A frame is empty, or of a kind this server does not know.');
  return { said: frame, content: body };
};

export const writeFrame = (frame: ToSay, content: Buffer = nothing): Buffer => outgoing.encode({ frame, content });

const decode = (head: Buffer): ClientFrame => {
  try {
    return incoming.decode(head) as ClientFrame;
  } catch (cause) {
    throw new AegisError('REQUEST_MALFORMED', 'A frame cannot be decoded.', cause);
  }
};
