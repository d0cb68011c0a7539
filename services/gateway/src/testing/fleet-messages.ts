import { GetFabRequest, GetFabResponse } from '@aegis/contracts/flwr/proto/fab';
import {
  ActivateNodeRequest,
  ActivateNodeResponse,
  CreateNodeRequest,
  CreateNodeResponse,
  DeactivateNodeRequest,
  DeleteNodeRequest,
  PullMessagesRequest,
  PullMessagesResponse,
  PushMessagesRequest,
  PushMessagesResponse,
  RegisterNodeFleetRequest,
  RegisterNodeFleetResponse,
  UnregisterNodeFleetRequest,
} from '@aegis/contracts/flwr/proto/fleet';
import { SendNodeHeartbeatRequest, SendNodeHeartbeatResponse } from '@aegis/contracts/flwr/proto/heartbeat';
import {
  ConfirmMessageReceivedRequest,
  type ObjectTree,
  PullObjectRequest,
  PullObjectResponse,
  PushObjectRequest,
  PushObjectResponse,
} from '@aegis/contracts/flwr/proto/message';
import { GetRunRequest, GetRunResponse, type Run } from '@aegis/contracts/flwr/proto/run';
import { type MessageHead, type ObjectTreeNode, toWireTree } from '@aegis/flower-wire';
import type { Offer, Reply } from './messages.ts';

export type Send = (method: string, body: Uint8Array, signal?: AbortSignal) => Promise<Buffer>;

/** The Fleet calls as a client encodes them. */
export class FleetMessages {
  readonly #send: Send;

  constructor(send: Send) {
    this.#send = send;
  }

  async registerNode(publicKey: Buffer): Promise<bigint> {
    const body = RegisterNodeFleetRequest.encode({ publicKey }).finish();
    return RegisterNodeFleetResponse.decode(await this.#send('register-node', body)).nodeId;
  }

  async activateNode(publicKey: Buffer, heartbeatInterval: number): Promise<bigint> {
    const body = ActivateNodeRequest.encode({ publicKey, heartbeatInterval }).finish();
    return ActivateNodeResponse.decode(await this.#send('activate-node', body)).nodeId;
  }

  async createNode(heartbeatInterval: number): Promise<bigint> {
    const body = CreateNodeRequest.encode({ heartbeatInterval }).finish();
    return CreateNodeResponse.decode(await this.#send('create-node', body)).node?.nodeId ?? 0n;
  }

  async deactivateNode(nodeId: bigint): Promise<void> {
    await this.#send('deactivate-node', DeactivateNodeRequest.encode({ nodeId }).finish());
  }

  async unregisterNode(nodeId: bigint): Promise<void> {
    await this.#send('unregister-node', UnregisterNodeFleetRequest.encode({ nodeId }).finish());
  }

  async deleteNode(nodeId: bigint): Promise<void> {
    await this.#send('delete-node', DeleteNodeRequest.encode({ node: { nodeId } }).finish());
  }

  async heartbeat(nodeId: bigint, heartbeatInterval: number): Promise<boolean> {
    const body = SendNodeHeartbeatRequest.encode({ node: { nodeId }, heartbeatInterval }).finish();
    return SendNodeHeartbeatResponse.decode(await this.#send('send-node-heartbeat', body)).success;
  }

  async pull(nodeId: bigint, signal?: AbortSignal): Promise<Offer | null> {
    const body = PullMessagesRequest.encode({ node: { nodeId }, messageIds: [] }).finish();
    const { messagesList, messageObjectTrees } = PullMessagesResponse.decode(
      await this.#send('pull-messages', body, signal),
    );
    const [message] = messagesList;
    const [tree] = messageObjectTrees;
    if (!message && !tree) return null;
    if (!message?.metadata || !message.content || !tree) throw new Error('a message a stock node would choke on');
    const { metadata } = message;
    return {
      head: {
        runId: metadata.runId,
        messageId: metadata.messageId,
        sourceNodeId: metadata.srcNodeId,
        destinationNodeId: metadata.dstNodeId,
        replyTo: metadata.replyToMessageId,
        groupId: metadata.groupId,
        ttl: metadata.ttl,
        type: metadata.messageType,
        createdAt: metadata.createdAt,
      },
      tree: fromWireTree(tree),
    };
  }

  async run(nodeId: bigint, runId: bigint): Promise<Run> {
    const body = GetRunRequest.encode({ node: { nodeId }, runId }).finish();
    const { run } = GetRunResponse.decode(await this.#send('get-run', body));
    if (!run) throw new Error('no run in the answer');
    return run;
  }

  async fab(nodeId: bigint, runId: bigint, hashStr: string): Promise<Buffer> {
    const body = GetFabRequest.encode({ node: { nodeId }, runId, hashStr }).finish();
    return GetFabResponse.decode(await this.#send('get-fab', body)).fab?.content ?? Buffer.alloc(0);
  }

  async pullObject(nodeId: bigint, runId: bigint, objectId: string): Promise<Buffer | null> {
    const body = PullObjectRequest.encode({ node: { nodeId }, runId, objectId }).finish();
    const answer = PullObjectResponse.decode(await this.#send('pull-object', body));
    return answer.objectFound && answer.objectAvailable ? answer.objectContent : null;
  }

  async confirm(nodeId: bigint, runId: bigint, messageObjectId: string): Promise<void> {
    const body = ConfirmMessageReceivedRequest.encode({ node: { nodeId }, runId, messageObjectId }).finish();
    await this.#send('confirm-message-received', body);
  }

  async announce(
    nodeId: bigint,
    head: Reply['head'],
    tree: ObjectTreeNode,
    runtimeSeconds: number,
  ): Promise<{ wanted: string[]; session: string }> {
    const body = announcementOf(nodeId, head, tree, runtimeSeconds);
    const answer = PushMessagesResponse.decode(await this.#send('push-messages', body));
    return { wanted: answer.objectsToPush, session: answer.sessionId };
  }

  async pushObject(
    nodeId: bigint,
    runId: bigint,
    objectId: string,
    objectContent: Buffer,
    sessionId: string,
  ): Promise<boolean> {
    const body = PushObjectRequest.encode({ node: { nodeId }, runId, objectId, objectContent, sessionId }).finish();
    return PushObjectResponse.decode(await this.#send('push-object', body)).stored;
  }
}

export const announcementOf = (
  nodeId: bigint,
  head: Reply['head'],
  tree: ObjectTreeNode,
  runtimeSeconds: number,
): Uint8Array =>
  PushMessagesRequest.encode({
    node: { nodeId },
    messagesList: [
      {
        metadata: metadataOf(head),
        content: head.error ? undefined : { items: [] },
        error: head.error ? { code: BigInt(head.error.code), reason: head.error.reason } : undefined,
      },
    ],
    messageObjectTrees: [toWireTree(tree)],
    clientappRuntimeList: [runtimeSeconds],
  }).finish();

const metadataOf = (head: MessageHead) => ({
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
});

const fromWireTree = ({ objectId, children }: ObjectTree): ObjectTreeNode => ({
  id: objectId,
  children: children.map(fromWireTree),
});
