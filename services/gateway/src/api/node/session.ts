import type { FailTask, Purposes, ReadApp, ReadModel, ReadRun, StageAnswer } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import { fromEntry } from '@aegis/flower-wire';
import type { NodeRecord } from '../../domain/node.ts';
import type { Task } from '../../domain/task.ts';
import { confirmTask } from '../../flows/confirm-task.ts';
import { statePurposes } from '../../flows/consent.ts';
import { deactivateNode } from '../../flows/deactivate-node.ts';
import { describeRun } from '../../flows/describe-run.ts';
import { failTask } from '../../flows/fail-task.ts';
import { fetchApp } from '../../flows/fetch-app.ts';
import { findTask } from '../../flows/find-task.ts';
import { followMailbox } from '../../flows/follow-mailbox.ts';
import { lookAlive, lookFree } from '../../flows/heartbeat.ts';
import { notMasked } from '../../flows/withhold-masked.ts';
import { inTaskSpan } from '../task-span.ts';
import type { Heard } from './frames.ts';
import { CONNECT_PATH, nodeLimits } from './limits.ts';
import type { Outgoing } from './outgoing.ts';
import type { NodeDoorParts } from './parts.ts';
import { StageExchanges } from './stage-exchanges.ts';
import { UpdateIntake } from './update-intake.ts';

/** Withdrawn tasks that a client never says a word about again. */
const MOST_IN_HAND = 1_000;
/** What a key of the stores may be made of. */
const TASK_ID = /^[0-9A-Za-z_-]{1,64}$/;
const NO_LONGER = 'The round no longer waits for it.';

export interface SessionStream {
  readonly out: Outgoing;
  readonly over: AbortSignal;
  readonly peer: string;
  goAway(reason: string): void;
  close(): void;
}

interface About {
  readonly taskId?: string;
  readonly requestId?: bigint;
  readonly partId?: string;
}

/** A node that was welcomed: it is offered tasks as they come, and every frame of its is served by one flow. */
export class NodeSession {
  readonly node: NodeRecord;
  left = false;
  readonly #parts: NodeDoorParts;
  readonly #stream: SessionStream;
  readonly #intake: UpdateIntake;
  readonly #stages: StageExchanges;
  /** Told of over this stream and not finished yet, withdrawn ones included. */
  readonly #inHand = new Map<string, Task>();
  /** An answered task leaves the mailbox before its verdict is here: that is no withdrawal. */
  readonly #beingJudged = new Set<string>();
  #reads = 0;
  #reading: Promise<void> = Promise.resolve();

  constructor(parts: NodeDoorParts, node: NodeRecord, stream: SessionStream) {
    this.node = node;
    this.#parts = parts;
    this.#stream = stream;
    this.#intake = new UpdateIntake(parts, (taskId) => this.#task(taskId));
    this.#stages = new StageExchanges(parts.gateway, node, stream.over);
  }

  /** Begins to offer tasks, until the stream is over. */
  begin(): void {
    lookFree(this.#parts.gateway, this.node);
    this.#offerTasks().catch((err: unknown) => {
      this.#parts.gateway.log.error({ err, node: this.node.nodeId }, 'offering tasks ended');
      this.#stream.goAway('Something failed inside the server.');
    });
  }

  /** Settles when the frame is served, and never rejects. Throws what ends the stream. */
  hear({ said, content }: Heard): Promise<void> | null {
    const { gateway } = this.#parts;
    lookAlive(gateway, this.node);
    if (content.byteLength > 0 && said.$case !== 'part') {
      throw new AegisError('REQUEST_MALFORMED', `A "${said.$case}" frame has content.`);
    }
    if ('taskId' in said.value && !TASK_ID.test(said.value.taskId)) {
      const about = said.$case === 'readModel' ? { requestId: said.value.requestId } : { taskId: said.value.taskId };
      return this.#serve(about, () => Promise.reject(new AegisError('TASK_NOT_FOUND')));
    }
    switch (said.$case) {
      case 'heartbeat':
        this.#stream.out.say({ $case: 'heartbeat', value: {} });
        return null;
      case 'taskAccepted':
        return this.#serve({ taskId: said.value.taskId }, async () =>
          confirmTask(gateway, await this.#task(said.value.taskId)),
        );
      case 'readModel':
        return this.#readModel(said.value);
      case 'readRun':
        return this.#readRun(said.value);
      case 'readApp':
        return this.#readApp(said.value);
      case 'beginUpdate': {
        const { taskId, partIds } = said.value;
        return this.#serve({ taskId }, async () => {
          const missing = await this.#intake.begin(taskId, partIds, this.node.nodeId);
          this.#stream.out.say({ $case: 'missingParts', value: { taskId, partIds: missing } });
        });
      }
      case 'part': {
        const { taskId, partId } = said.value;
        const settled = this.#intake.arrived(content.byteLength);
        return this.#serve({ taskId, partId }, async () => {
          await this.#intake.part(taskId, partId, content, this.node.nodeId).finally(settled);
          this.#stream.out.say({ $case: 'partStored', value: { taskId, partId } });
        });
      }
      case 'submit': {
        const { taskId } = said.value;
        this.#beingJudged.add(taskId);
        return this.#serve({ taskId }, async () => {
          const verdict = await this.#intake
            .submit(said.value, this.node.nodeId)
            .finally(() => this.#beingJudged.delete(taskId));
          this.#finished(taskId);
          const why = verdict.accepted ? { code: '', detail: '' } : verdict;
          const { code, detail } = why;
          this.#stream.out.say({ $case: 'verdict', value: { taskId, accepted: verdict.accepted, code, detail } });
        });
      }
      case 'stageAnswer':
        this.#exchange(said.value);
        return null;
      case 'purposes':
        return this.#purposes(said.value);
      case 'failTask':
        return this.#failTask(said.value);
      case 'leave':
        this.left = true;
        return this.#serve({}, () => deactivateNode(gateway, this.node)).then(() => this.#stream.close());
      case 'hello':
        throw new AegisError('NODE_HELLO', 'A stream has one Hello.');
    }
  }

  async #offerTasks(): Promise<void> {
    const { gateway, offers, telemetry } = this.#parts;
    const { out, over } = this.#stream;
    const ready = (task: Task) =>
      inTaskSpan(telemetry, 'gateway.offer-task', task, async () => ({ task, offer: await offers.of(task) }));
    for await (const news of followMailbox(gateway, this.node, over, ready)) {
      await out.unblocked();
      if (over.aborted) return;
      if (news.what === 'task') {
        this.#remember(news.offer.task);
        out.say({ $case: 'taskOffer', value: news.offer.offer });
      } else if (this.#inHand.has(news.taskId) && !this.#beingJudged.has(news.taskId)) {
        this.#stages.end(news.taskId);
        out.say({ $case: 'taskWithdrawn', value: { taskId: news.taskId, reason: NO_LONGER } });
      }
    }
    if (over.aborted) return;
    this.#stream.goAway(
      gateway.held.isDrained
        ? 'The server is shutting down.'
        : 'The node left, fell silent, was removed, or called elsewhere.',
    );
  }

  #readModel({ requestId, taskId, offset, length }: ReadModel): Promise<void> {
    const { models } = this.#parts;
    const { out, over } = this.#stream;
    return this.#inTurn(requestId, async () => {
      const { modelId } = await this.#task(taskId);
      if (modelId === '') throw new AegisError('REQUEST_MALFORMED', 'The task has no model.');
      const end = offset + length;
      if (length === 0n || end > BigInt(Number.MAX_SAFE_INTEGER)) {
        throw new AegisError('REQUEST_MALFORMED', `No model has ${length} bytes at ${offset}.`);
      }
      for await (const piece of models.read(modelId, Number(offset), Number(length))) {
        if (over.aborted) return;
        await out.sayWith({ $case: 'modelBytes', value: { requestId, offset: BigInt(piece.offset) } }, piece.content);
      }
    });
  }

  #readRun({ requestId, runId }: ReadRun): Promise<void> {
    return this.#serve({ requestId }, async () => {
      const { seriesId, appId, appVersion, appHash, overrides, federation } = await describeRun(
        this.#parts.gateway,
        runId,
      );
      const run = { runId, seriesId, appId, appVersion, appHash, overrides: overrides.map(fromEntry), federation };
      this.#stream.out.say({ $case: 'runFacts', value: { requestId, run } });
    });
  }

  #readApp({ requestId, runId }: ReadApp): Promise<void> {
    const { gateway } = this.#parts;
    return this.#inTurn(requestId, async () => {
      const { appHash } = await describeRun(gateway, runId);
      const { verifications, fab } = await fetchApp(gateway, runId, appHash);
      await this.#stream.out.sayWith({ $case: 'appBytes', value: { requestId, appHash, verifications } }, fab);
    });
  }

  /** One after the other: a client gets its bytes in the order in which it asked. */
  #inTurn(requestId: bigint, read: () => Promise<void>): Promise<void> {
    if (this.#reads >= nodeLimits.modelReads) {
      const error = new AegisError('UNAVAILABLE', `More than ${nodeLimits.modelReads} reads at once.`);
      return this.#serve({ requestId }, () => Promise.reject(error));
    }
    this.#reads += 1;
    const { over } = this.#stream;
    const served = this.#reading.then(() => (over.aborted ? undefined : this.#serve({ requestId }, read)));
    this.#reading = served.finally(() => {
      this.#reads -= 1;
    });
    return this.#reading;
  }

  /** Beside the stream's work and not part of it: the next request may be minutes away, and whoever closes does not wait for it. */
  #exchange(said: StageAnswer): void {
    const { taskId } = said;
    this.#stages.answer(said, this.#inHand.get(taskId)).then(
      (next) => next && this.#stream.out.say(next),
      // The task stays in hand whatever is said of its round: the client says FailTask when it has stopped working on it.
      (caught: unknown) => this.#refuse({ taskId }, AegisError.from(caught)),
    );
  }

  #purposes({ requestId, given }: Purposes): Promise<void> {
    return this.#serve({ requestId }, async () => {
      const purposes = given.map(({ name: purpose, version }) => ({ purpose, version }));
      await statePurposes(this.#parts.gateway, this.node, purposes);
      this.#stream.out.say({ $case: 'purposesKept', value: { requestId } });
    });
  }

  #failTask({ taskId, code, reason }: FailTask): Promise<void> {
    return this.#serve({ taskId }, async () => {
      const task = await this.#task(taskId);
      this.#finished(taskId);
      await failTask(this.#parts.gateway, task, code, reason.slice(0, nodeLimits.reason));
    });
  }

  /** What the node was told of, or would be told of: its mailbox. */
  async #task(taskId: string): Promise<Task> {
    const task = this.#inHand.get(taskId) ?? (await findTask(this.#parts.gateway, this.node.nodeId, taskId));
    if (task.secaggplus || (task.masking && !this.node.canMask)) throw notMasked();
    return task;
  }

  #remember(task: Task): void {
    this.#inHand.set(task.taskId, task);
    for (const taskId of this.#inHand.keys()) {
      if (this.#inHand.size <= MOST_IN_HAND) break;
      this.#inHand.delete(taskId);
    }
  }

  #finished(taskId: string): void {
    this.#inHand.delete(taskId);
    if (this.#inHand.size === 0) lookFree(this.#parts.gateway, this.node);
  }

  async #serve(about: About, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (caught) {
      const error = AegisError.from(caught);
      const { kind } = error.entry;
      if (about.taskId !== undefined && (kind === 'over' || kind === 'conflict')) this.#finished(about.taskId);
      this.#refuse(about, error);
    }
  }

  #refuse(about: About, error: AegisError): void {
    const { peer, out } = this.#stream;
    this.#parts.counted.refused('node', error, { path: CONNECT_PATH, status: undefined, peer });
    const { code, message: detail } = error;
    const again = error.entry.kind === 'unavailable';
    out.say({ $case: 'refusal', value: { taskId: '', requestId: 0n, partId: '', ...about, code, detail, again } });
  }
}
