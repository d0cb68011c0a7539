// The Fleet API without a transport: a method's name and request bytes in, response bytes out.

import { GetFabRequest } from '@aegis/contracts/flwr/proto/fab';
import {
  ActivateNodeRequest,
  ActivateNodeResponse,
  CreateNodeRequest,
  CreateNodeResponse,
  DeactivateNodeRequest,
  DeleteNodeRequest,
  PullMessagesRequest,
  PullMessagesResponse,
  PushMessagesResponse,
  RegisterNodeFleetRequest,
  RegisterNodeFleetResponse,
  UnregisterNodeFleetRequest,
} from '@aegis/contracts/flwr/proto/fleet';
import { SendNodeHeartbeatRequest, SendNodeHeartbeatResponse } from '@aegis/contracts/flwr/proto/heartbeat';
import {
  ConfirmMessageReceivedRequest,
  PullObjectRequest,
  PushObjectRequest,
  PushObjectResponse,
} from '@aegis/contracts/flwr/proto/message';
import type { Node } from '@aegis/contracts/flwr/proto/node';
import { GetRunRequest, GetRunResponse } from '@aegis/contracts/flwr/proto/run';
import { AegisError } from '@aegis/errors';
import { rawField } from '@aegis/service-kit';
import { decodeWith } from './decode.ts';
import type { FleetHandler, FlowerFab, NodeCredential, ObjectAnswer } from './fleet-contract.ts';
import { limits } from './limits.ts';
import { toWireMetadata } from './message.ts';
import { type CredentialSource, readCredential } from './node-auth.ts';
import { toWireTree } from './object-tree.ts';
import { isObjectId } from './objects.ts';
import { readAnnouncement } from './push-messages.ts';
import { toWireRun } from './wire-run.ts';

/** What a door knows of a call besides its body. */
export interface CallHead extends CredentialSource {
  /** Aborted when the caller is gone. Made when it is asked for: calls that wait for nothing leave it alone. */
  readonly signal: AbortSignal;
  /** Remote address of the connection, "" when it is not known. */
  readonly peer: string;
  /** Adds to the head of the answer, once and before it begins. Over HTTP no command reads one. */
  reply?(head: Readonly<Record<string, string>>): void;
}

type Answer = Uint8Array[];
interface FleetMethod {
  /** Largest request body in bytes. */
  limit: number;
  run(handler: FleetHandler, c: NodeCredential, body: Buffer, head: CallHead): Promise<Answer>;
}

export class FleetService {
  readonly #handler: FleetHandler;

  constructor(handler: FleetHandler) {
    this.#handler = handler;
  }

  /** Largest body of a method; METHOD_UNKNOWN when there is no such method. */
  limitOf(method: string): number {
    return methodOf(method).limit;
  }

  /** The pieces, one after the other, are the response message. They are views: write them before asking for more. */
  async call(method: string, body: Buffer, head: CallHead): Promise<Answer> {
    const { limit, run } = methodOf(method);
    if (body.byteLength > limit) throw tooLarge(body.byteLength, limit);
    return run(this.#handler, readCredential(head), body, head);
  }
}

export const tooLarge = (length: number, limit: number): AegisError =>
  new AegisError('BODY_TOO_LARGE', `It has ${length} bytes, at most ${limit} are taken.`);

const methodOf = (name: string): FleetMethod => {
  const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
  if (method === undefined) throw new AegisError('METHOD_UNKNOWN', `fleet/${name.slice(0, 64)}`);
  return method;
};

const nothing: Answer = [];

const methods: Readonly<Record<string, FleetMethod>> = {
  'register-node': {
    limit: limits.head,
    async run(handler, c, body) {
      const { publicKey } = decodeWith(RegisterNodeFleetRequest, body, 'RegisterNodeFleetRequest');
      const nodeId = await handler.register(c, ownKey(c, publicKey));
      return [RegisterNodeFleetResponse.encode({ nodeId }).finish()];
    },
  },
  'activate-node': {
    limit: limits.head,
    async run(handler, c, body) {
      const request = decodeWith(ActivateNodeRequest, body, 'ActivateNodeRequest');
      const seconds = interval(request.heartbeatInterval);
      const nodeId = await handler.activate(c, ownKey(c, request.publicKey), seconds);
      return [ActivateNodeResponse.encode({ nodeId }).finish()];
    },
  },
  'create-node': {
    limit: limits.head,
    async run(handler, c, body) {
      const request = decodeWith(CreateNodeRequest, body, 'CreateNodeRequest');
      const nodeId = await handler.createNode(c, interval(request.heartbeatInterval));
      return [CreateNodeResponse.encode({ node: { nodeId } }).finish()];
    },
  },
  'deactivate-node': {
    limit: limits.head,
    async run(handler, c, body) {
      await handler.deactivate(c, decodeWith(DeactivateNodeRequest, body, 'DeactivateNodeRequest').nodeId);
      return nothing;
    },
  },
  'unregister-node': {
    limit: limits.head,
    async run(handler, c, body) {
      await handler.unregister(c, decodeWith(UnregisterNodeFleetRequest, body, 'UnregisterNodeFleetRequest').nodeId);
      return nothing;
    },
  },
  'delete-node': {
    limit: limits.head,
    async run(handler, c, body) {
      await handler.deleteNode(c, idOf(decodeWith(DeleteNodeRequest, body, 'DeleteNodeRequest').node));
      return nothing;
    },
  },
  'send-node-heartbeat': {
    limit: limits.head,
    async run(handler, c, body) {
      const request = decodeWith(SendNodeHeartbeatRequest, body, 'SendNodeHeartbeatRequest');
      const success = await handler.heartbeat(c, idOf(request.node), interval(request.heartbeatInterval));
      return [SendNodeHeartbeatResponse.encode({ success }).finish()];
    },
  },
  'pull-messages': {
    limit: limits.head,
    async run(handler, c, body, head) {
      const { node } = decodeWith(PullMessagesRequest, body, 'PullMessagesRequest');
      const offer = await handler.pullTask(c, idOf(node), head.signal);
      if (offer === null) return nothing;
      // The content must be there and empty: a node that finds neither content nor error stops working.
      const message = { metadata: toWireMetadata(offer.head), content: { items: [] }, error: undefined };
      const response = {
        reconnect: undefined,
        messagesList: [message],
        messageObjectTrees: [toWireTree(offer.tree)],
      };
      return [PullMessagesResponse.encode(response).finish()];
    },
  },
  'push-messages': {
    limit: limits.announcement,
    async run(handler, c, body) {
      const { nodeId, reply, tree, runtimeSeconds } = readAnnouncement(body);
      const { wanted, session } = await handler.announce(c, nodeId, reply, tree, runtimeSeconds);
      const response = {
        reconnect: { reconnect: 5n },
        results: { [reply.messageId]: 0 },
        objectsToPush: wanted,
        sessionId: session,
      };
      return [PushMessagesResponse.encode(response).finish()];
    },
  },
  'get-run': {
    limit: limits.head,
    async run(handler, c, body) {
      const { node, runId } = decodeWith(GetRunRequest, body, 'GetRunRequest');
      const run = await handler.run(c, idOf(node), runId);
      return [GetRunResponse.encode({ run: toWireRun(run) }).finish()];
    },
  },
  'get-fab': {
    limit: limits.head,
    async run(handler, c, body) {
      const { node, hashStr, runId } = decodeWith(GetFabRequest, body, 'GetFabRequest');
      return fabAnswer(await handler.fab(c, idOf(node), runId, hashStr));
    },
  },
  'push-object': {
    limit: limits.object + limits.head,
    async run(handler, c, message) {
      const { head, body } = rawField.split(message, 4);
      if (head.byteLength > limits.head) throw tooLarge(head.byteLength, limits.head);
      if (body.byteLength > limits.object) throw tooLarge(body.byteLength, limits.object);
      const { node, runId, objectId, sessionId } = decodeWith(PushObjectRequest, head, 'PushObjectRequest');
      const stored = await handler.pushObject(c, idOf(node), runId, checkedId(objectId), body, sessionId);
      return [PushObjectResponse.encode({ stored }).finish()];
    },
  },
  'pull-object': {
    limit: limits.head,
    async run(handler, c, body) {
      const { node, runId, objectId } = decodeWith(PullObjectRequest, body, 'PullObjectRequest');
      return objectAnswer(await handler.pullObject(c, idOf(node), runId, checkedId(objectId)));
    },
  },
  'confirm-message-received': {
    limit: limits.head,
    async run(handler, c, body) {
      const request = decodeWith(ConfirmMessageReceivedRequest, body, 'ConfirmMessageReceivedRequest');
      await handler.confirm(c, idOf(request.node), request.runId, request.messageObjectId);
      return nothing;
    },
  },
};

/** A node registers and activates under the key that signs the call, no other. */
function ownKey(c: NodeCredential, publicKey: Buffer): Buffer {
  if (!publicKey.equals(c.publicKeyPem)) {
    throw new AegisError('NODE_IDENTITY', 'The request names another public key than the one that signed it.');
  }
  return publicKey;
}

function interval(seconds: number): number {
  if (!(seconds >= 10 && seconds <= 1800)) throw new AegisError('HEARTBEAT_INTERVAL', `It asks for ${seconds} s.`);
  return seconds;
}

function idOf(node: Node | undefined): bigint {
  if (node === undefined) throw new AegisError('REQUEST_MALFORMED', 'The request names no node.');
  return node.nodeId;
}

function checkedId(objectId: string): string {
  if (!isObjectId(objectId)) {
    throw new AegisError('REQUEST_MALFORMED', 'The object id is not 64 lower-case hex characters.');
  }
  return objectId;
}

/** PullObjectResponse { found = 1, available = 2, content = 3 } around pieces that are not copied. */
function objectAnswer(answer: ObjectAnswer): Answer {
  switch (answer.state) {
    case 'unknown':
      return nothing;
    case 'pending':
      return [Buffer.from([0x08, 1])];
    case 'found': {
      const length = answer.pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
      return [Buffer.from([0x08, 1, 0x10, 1]), rawField.prefix(3, length), ...answer.pieces];
    }
  }
}

/** Flower's nodes look for this entry beside signatures, whatever it says. */
const LICENCE = 'valid_license';

/** GetFabResponse { fab = 1 { hash = 1, content = 2, verifications = 3 } } around a content that is not copied. */
function fabAnswer({ hash, content, verifications }: FlowerFab): Answer {
  const text = (field: number, value: string): Buffer => {
    const bytes = Buffer.from(value, 'utf8');
    return Buffer.concat([rawField.prefix(field, bytes.byteLength), bytes]);
  };
  const signed = verifications.size > 0 && !verifications.has(LICENCE);
  const entries = [...verifications, ...(signed ? [[LICENCE, 'none'] as const] : [])].map(([key, value]) => {
    const entry = Buffer.concat([text(1, key), text(2, value)]);
    return Buffer.concat([rawField.prefix(3, entry.byteLength), entry]);
  });
  const inner = [text(1, hash), rawField.prefix(2, content.byteLength), content, ...entries];
  const length = inner.reduce((sum, piece) => sum + piece.byteLength, 0);
  return [rawField.prefix(1, length), ...inner];
}
