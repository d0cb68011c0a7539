// push-messages, read field by field: a request may hold a large tree, and only one message with one tree is an answer.

import { Node } from '@aegis/contracts/flwr/proto/node';
import { StrictReader } from '@aegis/contracts/strict-reader';
import { AegisError } from '@aegis/errors';
import { WireType } from '@bufbuild/protobuf/wire';
import type { ObjectTreeNode, ReplyHead } from './fleet-contract.ts';
import { readMessage, SERVER_NODE_ID } from './message.ts';
import { decodeObjectTree } from './object-tree.ts';

export interface Announcement {
  nodeId: bigint;
  reply: ReplyHead;
  tree: ObjectTreeNode;
  /** 0 when the client does not say (before 1.25). */
  runtimeSeconds: number;
}

const refuse = (detail: string): AegisError => new AegisError('REPLY_MALFORMED', detail);

export function readAnnouncement(bytes: Uint8Array): Announcement {
  let nodeId = 0n;
  let message: Uint8Array | undefined;
  let treeBytes: Uint8Array | undefined;
  let runtimeSeconds = 0;
  try {
    const reader = new StrictReader(bytes);
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag();
      if (field === 1 && wire === WireType.LengthDelimited) nodeId = Node.decode(reader.bytes()).nodeId;
      else if (field === 2 && wire === WireType.LengthDelimited) {
        if (message !== undefined) throw refuse('Only one message at a time is taken.');
        message = reader.bytes();
      } else if (field === 3 && wire === WireType.LengthDelimited) {
        if (treeBytes !== undefined) throw refuse('Only one object tree at a time is taken.');
        treeBytes = reader.bytes();
      } else if (field === 4 && wire === WireType.LengthDelimited) {
        const list = new StrictReader(reader.bytes());
        if (list.len % 8 !== 0) throw refuse('Its list of run times is cut off.');
        if (list.pos < list.len) runtimeSeconds = list.double();
      } else if (field === 4 && wire === WireType.Bit64) runtimeSeconds = reader.double();
      else reader.skip(wire, field);
    }
  } catch (caught) {
    if (caught instanceof AegisError) throw caught;
    throw new AegisError('REQUEST_MALFORMED', 'Not a PushMessagesRequest message.', caught);
  }
  if (message === undefined || treeBytes === undefined) throw refuse('It needs one message with its object tree.');
  const { hasContent, ...reply } = readMessage(message);
  const tree = decodeObjectTree(treeBytes);
  if (hasContent === (reply.error !== null)) throw refuse('A reply has either content or an error.');
  if (tree.id !== reply.messageId) throw refuse('The tree is not the tree of this message.');
  if (reply.sourceNodeId !== nodeId) throw refuse('A node can only send in its own name.');
  if (reply.destinationNodeId !== SERVER_NODE_ID) throw refuse('A node can only answer the server.');
  if (reply.replyTo === '') throw refuse('It answers no message.');
  if (reply.type === '') throw refuse('It has no message type.');
  if (!(reply.createdAt >= earliest && Number.isFinite(reply.createdAt))) throw refuse('Its creation time is wrong.');
  if (!(reply.ttl > 0 && Number.isFinite(reply.ttl))) throw refuse('Its time to live is not positive.');
  return { nodeId, reply, tree, runtimeSeconds: Number.isFinite(runtimeSeconds) ? Math.max(0, runtimeSeconds) : 0 };
}

/** Unix seconds; Flower refuses messages that claim to be older than its present message format. */
const earliest = 1_740_700_800;
