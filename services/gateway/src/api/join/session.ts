import { AegisError } from '@aegis/errors';
import { encodeReconnect, flowerStatus, grpcDetails, JOIN_PATH, readJoinReply } from '@aegis/flower-wire';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { NodeRecord } from '../../domain/node.ts';
import type { ModelFacts } from '../../domain/run.ts';
import type { Task } from '../../domain/task.ts';
import { admitGuest } from '../../flows/admit-guest.ts';
import { confirmTask } from '../../flows/confirm-task.ts';
import { describeRun } from '../../flows/describe-run.ts';
import { dismissGuest } from '../../flows/dismiss-guest.ts';
import { FAILURE, failTask } from '../../flows/fail-task.ts';
import { lookAlive } from '../../flows/heartbeat.ts';
import { pullTask } from '../../flows/pull-task.ts';
import { type Frames, framesOf } from '../grpc-frames.ts';
import { inTaskSpan } from '../task-span.ts';
import { handIn } from './hand-in.ts';
import { instructionBytes, instructionOf, largestAnswer } from './instruction.ts';
import type { JoinParts } from './parts.ts';

/** An open connection is the sign of life; HTTP/2 pings tell when it is not really open any more. */
const ALIVE_EVERY_MS = 20_000;
const HEARTBEAT_SECONDS = 60;
const RETRY_MS = 1_000;
/** Long enough for a restart: a stock client that comes too early gives up for good. */
const RECONNECT_SECONDS = 10;
/** A client that does not close after it was told to go. */
const FAREWELL_MS = 5_000;
/** Of a message that nobody asked for. */
const UNASKED_BYTES = 64 * 1024;
export const FIRST_LIMIT = UNASKED_BYTES;

/** Why the client is told to go: 0 seconds ends it, anything else has it come again. */
type Farewell = { readonly reconnectSeconds: number };

/** One start_client: a node as long as this stream is open, given one task at a time. */
export class JoinSession {
  readonly #parts: JoinParts;
  readonly #call: ServerDuplexStream<Buffer, Buffer>;
  readonly #frames: Frames;
  readonly #over = new AbortController();
  readonly #runs = new Set<bigint>();
  #answer: PromiseWithResolvers<Buffer> | null = null;

  constructor(parts: JoinParts, call: ServerDuplexStream<Buffer, Buffer>) {
    this.#parts = parts;
    this.#call = call;
    this.#frames = framesOf(call.metadata);
    call.on('data', (bytes: Buffer) => this.#heard(bytes));
    call.once('end', () => this.#over.abort());
    call.once('cancelled', () => this.#over.abort());
    this.#over.signal.addEventListener('abort', () => this.#answer?.reject(gone), { once: true });
  }

  async run(): Promise<void> {
    const { gateway } = this.#parts;
    const { signal } = this.#over;
    let node: NodeRecord | undefined;
    let alive: { cancel(): void } | undefined;
    try {
      const guest = admitGuest(gateway, HEARTBEAT_SECONDS);
      node = guest;
      const beat = (): void => {
        lookAlive(gateway, guest);
        alive = gateway.clock.schedule(ALIVE_EVERY_MS, beat);
      };
      beat();
      const { reconnectSeconds } = await this.#serve(guest);
      if (!signal.aborted) await this.#farewell(reconnectSeconds);
      this.#call.end();
    } catch (caught) {
      if (!signal.aborted) this.#refuse(AegisError.from(caught));
      else this.#call.end();
    } finally {
      alive?.cancel();
      this.#over.abort();
      if (node) await dismissGuest(gateway, node);
    }
  }

  async #serve(node: NodeRecord): Promise<Farewell> {
    const { gateway, models } = this.#parts;
    const { signal } = this.#over;
    while (!signal.aborted) {
      let work: { task: Task; model: ModelFacts | null } | null;
      try {
        work = await pullTask(gateway, node, signal, async (task) => {
          const model = task.modelId === '' ? null : await models.facts(task.modelId);
          return { task, model };
        });
      } catch (caught) {
        gateway.log.warn({ node: node.nodeId, err: AegisError.from(caught) }, 'task not ready to offer');
        await gateway.clock.sleep(RETRY_MS, signal).catch(() => {});
        continue;
      }
      if (work) await this.#work(work.task, work.model);
      else if (gateway.held.isDrained) return { reconnectSeconds: RECONNECT_SECONDS };
      else if (await this.#isDone()) return { reconnectSeconds: 0 };
    }
    return { reconnectSeconds: 0 };
  }

  /** Like Flower's own server, we send the client home when the run it worked for is over. */
  async #isDone(): Promise<boolean> {
    for (const runId of this.#runs) {
      const isOver = await describeRun(this.#parts.gateway, runId).then(
        () => false,
        (caught: unknown) => AegisError.from(caught).entry.kind === 'over',
      );
      if (!isOver) return false;
    }
    return this.#runs.size > 0;
  }

  async #work(task: Task, model: ModelFacts | null): Promise<void> {
    const { gateway, telemetry } = this.#parts;
    if (!task.join) {
      // The aggregator selects nobody of us for such a run; should it ever, the task goes back unseen.
      await failTask(gateway, task, FAILURE.nodeUnavailable, 'The run does not let in clients without identity.');
      return;
    }
    this.#runs.add(task.runId);
    try {
      await inTaskSpan(telemetry, 'gateway.join-task', task, () => this.#exchange(task, model));
    } catch (caught) {
      const error = AegisError.from(caught);
      if (this.#over.signal.aborted) throw error;
      this.#parts.counted.refused('join', error, { path: JOIN_PATH, status: undefined, peer: this.#peer });
      const { kind } = error.entry;
      if (kind === 'over' || kind === 'conflict') return;
      await failTask(gateway, task, FAILURE.replyUnavailable, `${error.code}: ${error.detail}`);
    }
  }

  async #exchange(task: Task, model: ModelFacts | null): Promise<void> {
    const { gateway, models, turns, messageBytes } = this.#parts;
    await this.#inTurn(instructionBytes(model), async () => {
      const instruction = await instructionOf(task, model, models);
      this.#frames.limit = largestAnswer(task, model, messageBytes);
      this.#answer = Promise.withResolvers();
      this.#answer.promise.catch(() => {});
      await this.#write(instruction);
    });
    confirmTask(gateway, task);
    const bytes = await (this.#answer?.promise ?? Promise.reject(gone));
    // Of the message that has just come: its room, until all of it is stored.
    const lease = this.#frames.next();
    try {
      const reply = readJoinReply(bytes);
      if (reply.kind === 'disconnect') {
        this.#over.abort();
        throw gone;
      }
      const verdict = await handIn(gateway, task, model, reply);
      gateway.log.debug({ node: task.nodeId, task: task.taskId, waiting: turns.waiting, verdict }, 'answer handed in');
    } finally {
      lease.release();
    }
  }

  async #inTurn(bytes: number, work: () => Promise<void>): Promise<void> {
    const turn = this.#parts.turns.take(bytes);
    try {
      await Promise.race([turn.add(bytes), this.#gone()]);
      await work();
    } finally {
      turn.release();
    }
  }

  #heard(bytes: Buffer): void {
    const answer = this.#answer;
    this.#answer = null;
    this.#frames.limit = UNASKED_BYTES;
    if (answer) {
      answer.resolve(bytes);
      return;
    }
    this.#frames.next().release();
    if (this.#over.signal.aborted) return;
    this.#refuse(new AegisError('REPLY_MALFORMED', 'An answer came that nobody had asked for.'));
    this.#over.abort();
  }

  /** Resolves when the message is on the wire, at the client's own pace. */
  async #write(bytes: Buffer): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#call.write(bytes, () => resolve());
    await Promise.race([promise, this.#gone()]);
  }

  async #farewell(seconds: number): Promise<void> {
    this.#answer = Promise.withResolvers();
    this.#answer.promise.catch(() => {});
    const acknowledged = this.#answer.promise.catch(() => {});
    this.#call.write(encodeReconnect(seconds));
    await Promise.race([acknowledged, this.#parts.gateway.clock.sleep(FAREWELL_MS, this.#over.signal).catch(() => {})]);
  }

  #refuse(error: AegisError): void {
    this.#parts.counted.refused('join', error, { path: JOIN_PATH, status: undefined, peer: this.#peer });
    this.#call.emit('error', statusOf(error));
  }

  #gone(): Promise<never> {
    const { signal } = this.#over;
    if (signal.aborted) return Promise.reject(gone);
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(gone), { once: true }));
  }

  get #peer(): string {
    return this.#call.getPeer().replace(/:\d{1,5}$/, '');
  }
}

/** As a stock client prints it. */
export const statusOf = (error: AegisError): { code: number; details: string } => {
  const where = { api: 'fleet', method: 'join', flwrVersion: '' } as const;
  return { code: flowerStatus(error, where).grpc, details: grpcDetails(error, where) };
};

const gone = new AegisError('UNAVAILABLE', 'The client has gone.');
