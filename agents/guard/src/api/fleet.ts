import { AegisError } from '@aegis/errors';
import type {
  FleetHandler,
  FlowerFab,
  FlowerRun,
  MessageOffer,
  NodeCredential,
  ObjectAnswer,
  ObjectTreeNode,
  ReplyHead,
} from '@aegis/flower-wire';
import { FAILURE } from '../domain/answer.ts';
import type { Guard } from '../flows/guard.ts';
import { pullTask } from '../flows/pull-task.ts';
import { refuseTask } from '../flows/refuse-task.ts';
import { takeAnswer, takeFailure } from '../flows/take-answer.ts';
import { confirmFree, type Withdrawn } from '../flows/withdraw-task.ts';
import { Offered } from './offered.ts';
import { ReplyIntake } from './reply-intake.ts';
import type { SuperNodeKey } from './supernode-key.ts';

/** Flower's Fleet API for the one SuperNode behind this guard, all dialects. Its messages go no further than this room. */
export class GuardFleet implements FleetHandler {
  readonly #guard: Guard;
  readonly #key: SuperNodeKey;
  readonly #withdrawn: Withdrawn;
  readonly #offered: Offered;
  readonly #replies = new Map<string, ReplyIntake>();
  /** The push that completes a reply is judged once, however many pushes end at the same time. */
  readonly #judging = new Map<string, Promise<boolean>>();

  constructor(guard: Guard, key: SuperNodeKey, withdrawn: Withdrawn) {
    this.#guard = guard;
    this.#key = key;
    this.#withdrawn = withdrawn;
    this.#offered = new Offered(guard);
  }

  async register(c: NodeCredential): Promise<bigint> {
    await this.#key.register(c);
    return this.#nodeId();
  }

  async activate(c: NodeCredential): Promise<bigint> {
    await this.#key.check(c);
    return this.#nodeId();
  }

  async createNode(c: NodeCredential): Promise<bigint> {
    return this.register(c);
  }

  // The guard is the node, and stays: a SuperNode that ends takes nothing with it.
  async deactivate(c: NodeCredential, nodeId: bigint): Promise<void> {
    await this.#caller(c, nodeId);
    this.#key.leave();
  }

  async unregister(c: NodeCredential, nodeId: bigint): Promise<void> {
    await this.#caller(c, nodeId);
    this.#key.leave();
  }

  async deleteNode(c: NodeCredential, nodeId: bigint): Promise<void> {
    await this.#caller(c, nodeId);
    this.#key.leave();
  }

  async heartbeat(c: NodeCredential, nodeId: bigint): Promise<boolean> {
    await this.#caller(c, nodeId);
    return true;
  }

  async pullTask(c: NodeCredential, nodeId: bigint, signal: AbortSignal): Promise<MessageOffer | null> {
    await this.#caller(c, nodeId);
    confirmFree(this.#guard, this.#withdrawn);
    return pullTask(this.#guard, signal, async (task) => {
      const { head, tree } = await this.#offered.of(task);
      return { head, tree };
    });
  }

  async confirm(c: NodeCredential, nodeId: bigint, _runId: bigint, messageId: string): Promise<void> {
    await this.#caller(c, nodeId);
    const message = await this.#offered.withId(messageId);
    if (message) this.#guard.upstream.accepted(message.task.taskId);
  }

  async run(c: NodeCredential, nodeId: bigint, runId: bigint): Promise<FlowerRun> {
    await this.#caller(c, nodeId);
    const run = await this.#guard.runs.facts(runId);
    return { ...run, overrides: [...run.overrides], status: { status: 'running', subStatus: '', details: '' } };
  }

  async fab(c: NodeCredential, nodeId: bigint, runId: bigint, hash: string): Promise<FlowerFab> {
    await this.#caller(c, nodeId);
    const { app } = await this.#guard.runs.app(runId);
    if (app.appHash !== hash) throw new AegisError('RUN_NOT_ACTIVE', 'The run has no app of that hash.');
    return { hash, content: app.fab, verifications: new Map(Object.entries(app.verifications)) };
  }

  async pullObject(c: NodeCredential, nodeId: bigint, runId: bigint, objectId: string): Promise<ObjectAnswer> {
    await this.#caller(c, nodeId);
    const pieces = await this.#offered.object(runId, objectId);
    return pieces ? { state: 'found', pieces } : { state: 'unknown' };
  }

  async announce(
    c: NodeCredential,
    nodeId: bigint,
    reply: ReplyHead,
    tree: ObjectTreeNode,
    _runtimeSeconds: number,
  ): Promise<{ wanted: string[]; session: string }> {
    await this.#caller(c, nodeId);
    const message = await this.#offered.withId(reply.replyTo);
    if (!message) throw new AegisError('TASK_NOT_FOUND');
    const { task, head } = message;
    if (reply.runId !== task.runId || reply.type !== head.type) {
      throw new AegisError('REPLY_MALFORMED', 'It names another run or type than its task.');
    }
    if (reply.error) {
      takeFailure(this.#guard, task, reply.error.code, reply.error.reason);
      return { wanted: [], session: '' };
    }
    const known = this.#replies.get(task.taskId);
    const intake = known?.head.messageId === reply.messageId ? known : new ReplyIntake(this.#guard, task, reply, tree);
    for (const taskId of this.#replies.keys()) if (!this.#guard.tasks.find(taskId)) this.#replies.delete(taskId);
    this.#replies.set(task.taskId, intake);
    return { wanted: intake.wanted(), session: task.taskId };
  }

  async pushObject(
    c: NodeCredential,
    nodeId: bigint,
    runId: bigint,
    objectId: string,
    content: Buffer,
  ): Promise<boolean> {
    await this.#caller(c, nodeId);
    const intake = [...this.#replies.values()].find(
      (reply) => reply.task.runId === runId && reply.announces(objectId) && this.#guard.tasks.find(reply.task.taskId),
    );
    if (!intake) throw new AegisError('TASK_NOT_FOUND');
    try {
      await intake.take(objectId, content);
      if (this.#guard.journal.answerTo(intake.task.taskId)?.answer.outcome === 'failure') {
        await this.#guard.parts.drop(intake.task.taskId);
        throw new AegisError('TASK_NOT_FOUND');
      }
      return intake.isComplete ? await this.#judge(intake) : true;
    } catch (caught) {
      // A task that ends takes its folder with it, under the hands of whoever writes there.
      if (!this.#guard.tasks.find(intake.task.taskId)) throw new AegisError('TASK_NOT_FOUND', '', caught);
      const error = AegisError.from(caught);
      if (error.entry.kind !== 'invalid' && error.entry.kind !== 'too-large') throw error;
      // What is no answer cannot become one: the round must not wait for it.
      this.#replies.delete(intake.task.taskId);
      refuseTask(this.#guard, intake.task, FAILURE.replyUnavailable, `${error.code}: ${error.message}`);
      return false;
    }
  }

  #judge(intake: ReplyIntake): Promise<boolean> {
    const { taskId } = intake.task;
    const under = this.#judging.get(taskId);
    if (under) return under;
    const judging = this.#read(intake).finally(() => {
      this.#judging.delete(taskId);
      this.#replies.delete(taskId);
    });
    this.#judging.set(taskId, judging);
    return judging;
  }

  async #read(intake: ReplyIntake): Promise<boolean> {
    const parsed = intake.read();
    if (parsed.outcome === 'failure') {
      takeFailure(this.#guard, intake.task, parsed.code, parsed.reason);
      return true;
    }
    const { metrics, weight } = parsed;
    const tensors = parsed.tensors.map(({ name, slices }) => ({
      name,
      slices: slices.map(({ part, offset, length }) => ({ file: part, offset, length })),
    }));
    return takeAnswer(this.#guard, intake.task, { tensors, metrics, weight });
  }

  async #caller(c: NodeCredential, nodeId: bigint): Promise<void> {
    await this.#key.check(c);
    if (nodeId !== this.#guard.journal.nodeId()) throw new AegisError('NODE_IDENTITY');
  }

  /** The guard's own id: the same for every SuperNode that ever stands behind it. */
  async #nodeId(): Promise<bigint> {
    const known = this.#guard.journal.nodeId();
    if (known !== null) return known;
    throw new AegisError('UNAVAILABLE', 'The guard has not reached the server yet.');
  }
}
