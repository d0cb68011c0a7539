// Flower's Message: metadata in our terms, the Message object, and its id.

import { Error as WireError } from '@aegis/contracts/flwr/proto/error';
import { Message, Metadata } from '@aegis/contracts/flwr/proto/message';
import { RecordDict } from '@aegis/contracts/flwr/proto/recorddict';
import { StrictReader } from '@aegis/contracts/strict-reader';
import { AegisError } from '@aegis/errors';
import { WireType } from '@bufbuild/protobuf/wire';
import type { MessageHead, ReplyHead } from './fleet-contract.ts';
import { limits } from './limits.ts';
import { type MadeObject, makeObject } from './objects.ts';

/** The server's own id as sender and receiver. */
export const SERVER_NODE_ID = 1n;

export type UnsentHead = Omit<MessageHead, 'messageId'>;

/**
 * The Message object of a message with this content (null: an error message). Its id is the message id, so the
 * metadata inside carries none. Same head, same bytes.
 */
export function makeMessageObject(
  head: UnsentHead,
  contentId: string | null,
  error: ReplyHead['error'] = null,
): MadeObject {
  const body = Message.encode({
    metadata: toWireMetadata({ ...head, messageId: '' }),
    content: undefined,
    error: error === null ? undefined : { code: BigInt(error.code), reason: error.reason },
  }).finish();
  return makeObject('Message', contentId === null ? [] : [contentId], body);
}

/** Reads the body of a Message object (or a message on the wire): head and error. A content on the wire is passed over. */
export function readMessage(bytes: Uint8Array): ReplyHead & { hasContent: boolean } {
  let metadata: Metadata | undefined;
  let hasContent = false;
  let error: ReplyHead['error'] = null;
  try {
    const reader = new StrictReader(bytes);
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag();
      if (field === 1 && wire === WireType.LengthDelimited) metadata = Metadata.decode(reader.bytes());
      else if (field === 3 && wire === WireType.LengthDelimited) {
        const { code, reason } = WireError.decode(reader.bytes());
        error = { code: Number(BigInt.asIntN(32, code)), reason };
      } else if (field === 2 && wire === WireType.LengthDelimited) {
        hasContent = true;
        checkContent(reader.bytes());
      } else reader.skip(wire, field);
    }
  } catch (cause) {
    if (cause instanceof AegisError) throw cause;
    throw new AegisError('REQUEST_MALFORMED', 'Not a Message.', cause);
  }
  if (metadata === undefined) throw new AegisError('REPLY_MALFORMED', 'The message has no metadata.');
  return { ...fromWireMetadata(metadata), error, hasContent };
}

/** Content travels in objects; what nodes send here is an empty record. It is passed over, once it is one. */
function checkContent(content: Uint8Array): void {
  if (content.byteLength > limits.record)
    throw new AegisError(
      'REPLY_MALFORMED',
      `A message has ${content.byteLength} bytes of content besides its objects.`,
    );
  RecordDict.decode(content);
}

export function toWireMetadata(head: MessageHead): Metadata {
  return {
    runId: head.runId,
    messageId: head.messageId,
    srcNodeId: head.sourceNodeId,
    dstNodeId: head.destinationNodeId,
    replyToMessageId: head.replyTo,
    groupId: head.groupId,
    ttl: head.ttl,
    messageType: head.type,
    createdAt: head.createdAt,
    srcTaskId: head.sourceTaskId,
    dstTaskId: head.destinationTaskId,
  };
}

export function fromWireMetadata(wire: Metadata): MessageHead {
  return {
    runId: wire.runId,
    messageId: wire.messageId,
    sourceNodeId: wire.srcNodeId,
    destinationNodeId: wire.dstNodeId,
    replyTo: wire.replyToMessageId,
    groupId: wire.groupId,
    ttl: wire.ttl,
    type: wire.messageType,
    createdAt: wire.createdAt,
    ...(wire.srcTaskId === undefined ? {} : { sourceTaskId: wire.srcTaskId }),
    ...(wire.dstTaskId === undefined ? {} : { destinationTaskId: wire.dstTaskId }),
  };
}

/** Do two heads describe the same message? The id is not compared: inside the Message object there is none. */
export function sameMessage(a: MessageHead, b: MessageHead): boolean {
  return (
    a.runId === b.runId &&
    a.sourceNodeId === b.sourceNodeId &&
    a.destinationNodeId === b.destinationNodeId &&
    a.replyTo === b.replyTo &&
    a.groupId === b.groupId &&
    Object.is(a.ttl, b.ttl) &&
    a.type === b.type &&
    Object.is(a.createdAt, b.createdAt) &&
    a.sourceTaskId === b.sourceTaskId &&
    a.destinationTaskId === b.destinationTaskId
  );
}
