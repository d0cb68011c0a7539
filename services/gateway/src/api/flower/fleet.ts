import { AegisError, isErrorCode } from '@aegis/errors';
import {
  type FleetHandler,
  type FlowerFab,
  type FlowerRun,
  type MessageOffer,
  type NodeCredential,
  type ObjectAnswer,
  type ObjectTreeNode,
  parseReply,
  type ReplyHead,
  type ReplySlice,
  type SecaggplusReply,
} from '@aegis/flower-wire';
import type { Telemetry } from '@aegis/service-kit';
import type { FlowerSaid } from '../../domain/flower-stage.ts';
import type { NodeRecord } from '../../domain/node.ts';
import type { Task, TaskRef } from '../../domain/task.ts';
import { type OpenUpload, postOrder, type UploadRecord, type Verdict } from '../../domain/upload.ts';
import { activateNode, createNode } from '../../flows/activate-node.ts';
import { announceUpload } from '../../flows/announce-upload.ts';
import { authenticateNode } from '../../flows/authenticate-node.ts';
import { confirmTask } from '../../flows/confirm-task.ts';
import { deactivateNode } from '../../flows/deactivate-node.ts';
import { describeRun } from '../../flows/describe-run.ts';
import { failTask } from '../../flows/fail-task.ts';
import { fetchApp } from '../../flows/fetch-app.ts';
import type { Gateway } from '../../flows/gateway.ts';
import { heartbeat, lookAlive, lookCutOff } from '../../flows/heartbeat.ts';
import { pullTask } from '../../flows/pull-task.ts';
import { findUpload, putPart } from '../../flows/put-part.ts';
import { registerNode } from '../../flows/register-node.ts';
import { refuseUpdate, submitUpdate, takeFailure } from '../../flows/submit-update.ts';
import { unregisterNode } from '../../flows/unregister-node.ts';
import { SingleFlight } from '../bounded-cache.ts';
import { inTaskSpan } from '../task-span.ts';
import { NodeConnections } from './node-connections.ts';
import { type CacheLimits, type OfferedMessage, OfferedMessages } from './offered-messages.ts';
import { decodeAnnounced, encodeAnnounced } from './reply-head.ts';
import { ReplyObjects } from './reply-objects.ts';

/** Flower's Fleet API, all dialects, on our flows. Flower's messages, objects and trees go no further than this room. */
export class FlowerFleet implements FleetHandler {
  readonly #gateway: Gateway;
  readonly #telemetry: Telemetry;
  readonly #offered: OfferedMessages;
  readonly #replies: ReplyObjects;
  readonly #connections: NodeConnections;
  readonly #judging = new SingleFlight<string, Verdict>();

  constructor(gateway: Gateway, telemetry: Telemetry, limits: CacheLimits & { readonly replyBytes: number }) {
    this.#gateway = gateway;
    this.#telemetry = telemetry;
    this.#offered = new OfferedMessages(gateway.aggregator, limits);
    this.#replies = new ReplyObjects(limits.replyBytes);
    this.#connections = new NodeConnections((nodeId) => lookCutOff(gateway, nodeId));
  }

  async register(c: NodeCredential, publicKey: Buffer): Promise<bigint> {
    return (await registerNode(this.#gateway, c, publicKey)).nodeId;
  }

  async activate(c: NodeCredential, publicKey: Buffer, heartbeatSeconds: number): Promise<bigint> {
    return (await activateNode(this.#gateway, c, publicKey, heartbeatSeconds)).nodeId;
  }

  async createNode(c: NodeCredential, heartbeatSeconds: number): Promise<bigint> {
    return (await createNode(this.#gateway, c, heartbeatSeconds)).nodeId;
  }

  async deactivate(c: NodeCredential, nodeId: bigint): Promise<void> {
    await deactivateNode(this.#gateway, await authenticateNode(this.#gateway, c, nodeId));
  }

  async unregister(c: NodeCredential, nodeId: bigint): Promise<void> {
    await unregisterNode(this.#gateway, await authenticateNode(this.#gateway, c, nodeId));
  }

  async deleteNode(c: NodeCredential, nodeId: bigint): Promise<void> {
    const node = await authenticateNode(this.#gateway, c, nodeId);
    await deactivateNode(this.#gateway, node);
    await unregisterNode(this.#gateway, node);
  }

  async heartbeat(c: NodeCredential, nodeId: bigint, seconds: number): Promise<boolean> {
    const node = await authenticateNode(this.#gateway, c, nodeId);
    this.#connections.heard(nodeId, c.connection);
    return heartbeat(this.#gateway, node, seconds);
  }

  async pullTask(c: NodeCredential, nodeId: bigint, signal: AbortSignal): Promise<MessageOffer | null> {
    const node = await authenticateNode(this.#gateway, c, nodeId);
    this.#connections.heard(nodeId, c.connection);
    return pullTask(this.#gateway, node, signal, (task) =>
      this.#span('gateway.offer-task', task, task.traceparent, async () => {
        const { head, tree } = await this.#offered.of(task);
        return { head, tree };
      }),
    );
  }

  async confirm(c: NodeCredential, nodeId: bigint, _runId: bigint, messageId: string): Promise<void> {
    await this.#caller(c, nodeId);
    const message = await this.#messageOf(nodeId, messageId);
    if (message) confirmTask(this.#gateway, message.task);
  }

  async run(c: NodeCredential, nodeId: bigint, runId: bigint): Promise<FlowerRun> {
    await this.#caller(c, nodeId);
    const run = await describeRun(this.#gateway, runId);
    return { ...run, overrides: [...run.overrides] };
  }

  async fab(c: NodeCredential, nodeId: bigint, runId: bigint, hash: string): Promise<FlowerFab> {
    await this.#caller(c, nodeId);
    const app = await fetchApp(this.#gateway, runId, hash);
    return { hash: app.appHash, content: app.fab, verifications: new Map(Object.entries(app.verifications)) };
  }

  /** Only what hangs below the node's own messages. */
  async pullObject(c: NodeCredential, nodeId: bigint, runId: bigint, objectId: string): Promise<ObjectAnswer> {
    await this.#caller(c, nodeId);
    for await (const task of this.#tasksOf(nodeId)) {
      if (task.runId !== runId) continue;
      const pieces = await this.#offered.find(await this.#offered.of(task), objectId);
      if (pieces) return { state: 'found', pieces };
    }
    return { state: 'unknown' };
  }

  async announce(
    c: NodeCredential,
    nodeId: bigint,
    reply: ReplyHead,
    tree: ObjectTreeNode,
    runtimeSeconds: number,
  ): Promise<{ wanted: string[]; session: string }> {
    await this.#caller(c, nodeId);
    const message = await this.#messageOf(nodeId, reply.replyTo);
    // A task that is not in the mailbox any more: the aggregator knows best what became of it.
    if (!message) return this.#refuseReply(nodeId, reply);
    const { task } = message;
    checkReply(message, reply);
    return this.#span('gateway.announce-upload', task, task.traceparent, async () => {
      if (reply.error) {
        await failTask(this.#gateway, task, reply.error.code, reply.error.reason);
        return { wanted: [], session: '' };
      }
      const { kind, layout, modelId, traceparent, secaggplus } = task;
      const upload = await announceUpload(this.#gateway, {
        task,
        replyId: reply.messageId,
        head: encodeAnnounced({ head: reply, kind, layout, modelId, secaggplus: secaggplus?.stage }),
        partIds: postOrder(tree),
        runtimeSeconds,
        traceparent,
      });
      const { verdict, session } = upload.record;
      // Nothing is left to send: this is where the client learns how it ended.
      if (verdict) refuseLoudly(verdict);
      else if (upload.isComplete) refuseLoudly(await this.#judge(upload));
      return { wanted: upload.wanted(), session };
    });
  }

  async pushObject(
    c: NodeCredential,
    nodeId: bigint,
    runId: bigint,
    objectId: string,
    content: Buffer,
    session: string,
  ): Promise<boolean> {
    await this.#caller(c, nodeId);
    const upload = await findUpload(this.#gateway, nodeId, { runId, partId: objectId, session });
    const { record } = upload;
    if (record.verdict) return stored(record.verdict);
    const part = { 'aegis.part': objectId, 'aegis.bytes': content.length };
    return this.#span(
      'gateway.put-part',
      record.task,
      record.traceparent,
      async () => {
        const object = this.#replies.check(objectId, content, (id) => upload.announces(id));
        await putPart(this.#gateway, upload, objectId, content);
        this.#replies.keep(record, objectId, object);
        return upload.isComplete ? stored(await this.#judge(upload)) : true;
      },
      part,
    );
  }

  async #caller(c: NodeCredential, nodeId: bigint): Promise<NodeRecord> {
    const node = await authenticateNode(this.#gateway, c, nodeId);
    this.#connections.heard(nodeId, c.connection);
    lookAlive(this.#gateway, node);
    return node;
  }

  /**
   * The node's tasks as heard so far; then, for a gateway that is asked before it heard, as they stand in the store. Masked ones are
   * no business of this door: whoever names one has it from elsewhere.
   */
  async *#tasksOf(nodeId: bigint): AsyncGenerator<Task> {
    const heard = new Set<string>();
    for (const task of this.#gateway.mailbox.ofNode(nodeId)) {
      heard.add(task.taskId);
      if (!task.masking) yield task;
    }
    for (const task of await this.#gateway.tasks.ofNode(nodeId))
      if (!heard.has(task.taskId) && !task.masking) yield task;
  }

  async #messageOf(nodeId: bigint, messageId: string): Promise<OfferedMessage | null> {
    for await (const task of this.#tasksOf(nodeId)) {
      const message = await this.#offered.of(task);
      if (message.messageId === messageId) return message;
    }
    return null;
  }

  async #refuseReply(nodeId: bigint, reply: ReplyHead): Promise<never> {
    const task = this.#offered.taskOf(reply.replyTo);
    if (task && task.nodeId !== nodeId) throw new AegisError('TASK_NOT_YOURS');
    if (task) await this.#gateway.aggregator.missingParts(task, [reply.messageId]);
    throw new AegisError('TASK_NOT_FOUND');
  }

  /** One verdict, however many pushes end at the same time. */
  #judge(upload: OpenUpload): Promise<Verdict> {
    const { record } = upload;
    return this.#judging.run(record.session, () =>
      this.#span('gateway.submit-update', record.task, record.traceparent, async () => {
        const verdict = await this.#submit(upload);
        this.#replies.forget(record);
        return verdict;
      }),
    );
  }

  async #submit(upload: OpenUpload): Promise<Verdict> {
    try {
      const parsed = await this.#read(upload.record);
      if (parsed.outcome === 'failure') return await takeFailure(this.#gateway, upload, parsed.code, parsed.reason);
      const tensors = parsed.tensors.map(({ name, slices }) => ({ name, slices: slices.map(toSlice) }));
      return await submitUpdate(this.#gateway, upload, {
        tensors,
        metrics: parsed.metrics,
        weight: parsed.weight ?? undefined,
        runtimeSeconds: upload.record.runtimeSeconds,
        flower: parsed.secaggplus && toSaid(parsed.secaggplus),
      });
    } catch (caught) {
      const error = AegisError.from(caught);
      if (error.entry.kind !== 'invalid') throw error;
      return refuseUpdate(this.#gateway, upload, error.code, error.detail);
    }
  }

  async #read(record: UploadRecord) {
    const { head, kind, layout, modelId, secaggplus } = decodeAnnounced(record.head);
    const { tree, objects } = await this.#replies.assemble(record, (partId, length) =>
      this.#gateway.aggregator.readPart(record.task, partId, length),
    );
    const tensorNames = kind === 'initial-model' ? [] : await this.#offered.tensorNames(modelId);
    return parseReply(head, tree, objects, { kind, layout, tensorNames, secaggplus });
  }

  #span<T>(
    name: string,
    task: TaskRef,
    traceparent: string,
    work: () => Promise<T>,
    attributes: Record<string, string | number> = {},
  ): Promise<T> {
    return inTaskSpan(this.#telemetry, name, { ...task, traceparent }, work, attributes);
  }
}

const toSlice = ({ part, offset, length }: ReplySlice) => ({ partId: part, offset, length });

const toSaid = (reply: SecaggplusReply): FlowerSaid =>
  reply.stage === 'collect_masked_vectors'
    ? { stage: reply.stage, arrays: reply.arrays.map((slices) => slices.map(toSlice)) }
    : reply;

const checkReply = ({ task, head }: OfferedMessage, reply: ReplyHead): void => {
  if (reply.runId !== task.runId) throw new AegisError('REPLY_MALFORMED', 'It names another run than its task.');
  if (reply.type !== head.type)
    throw new AegisError('REPLY_MALFORMED', `It is of type "${reply.type}", not "${head.type}".`);
};

/** The answer to the push that completed the upload. A round that is over is told as such; else false is the refusal. */
const stored = (verdict: Verdict): boolean => {
  if (verdict.accepted) return true;
  const error = errorOf(verdict);
  if (error.entry.kind === 'over' || error.entry.kind === 'conflict') throw error;
  return false;
};

const refuseLoudly = (verdict: Verdict): void => {
  if (!verdict.accepted) throw errorOf(verdict);
};

const errorOf = ({ code, detail }: { code: string; detail: string }): AegisError =>
  isErrorCode(code) ? new AegisError(code, detail) : new AegisError('REPLY_MALFORMED', `${code} ${detail}`);
