import type { Submit } from '@aegis/contracts/aegis/node/v1/node';
import { sha256Hex } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import type { Update } from '../../domain/run.ts';
import type { Task, TaskRef } from '../../domain/task.ts';
import type { OpenUpload, Verdict } from '../../domain/upload.ts';
import { announceUpload } from '../../flows/announce-upload.ts';
import { findTaskUpload, isUploaded, putPart } from '../../flows/put-part.ts';
import { refuseUpdate, submitUpdate } from '../../flows/submit-update.ts';
import { inTaskSpan } from '../task-span.ts';
import { nodeLimits } from './limits.ts';
import type { NodeDoorParts } from './parts.ts';
import { announcementId, checkPartIds, partsOf, readUpdate } from './update.ts';

/** What an announcement keeps for reading the answer: which door it came through, and the weight's name. */
const HEAD = 'aegis.node.v1 ';

/** Stores a part that nobody sent; resolves with its id when it is durable. */
export type Keep = (content: Buffer) => Promise<string>;

/** Finds the arrays of an answer whose parts are another file than one .npy each: as .npy files, in parts that are here or that it keeps. */
export type Unfold = (task: TaskRef, keep: Keep) => Promise<Update['tensors']>;

/** Answers on their way in, over one stream or by REST: announced, stored part by part, judged. Durable all along. */
export class UpdateIntake {
  readonly #parts: Pick<NodeDoorParts, 'gateway' | 'telemetry'>;
  readonly #taskOf: (taskId: string) => Promise<Task>;
  #inFlight = 0;

  constructor(parts: Pick<NodeDoorParts, 'gateway' | 'telemetry'>, taskOf: (taskId: string) => Promise<Task>) {
    this.#parts = parts;
    this.#taskOf = taskOf;
  }

  /** Which parts are still to be sent. `answerId`: what tells this answer from another of the node, where its parts alone do not. */
  async begin(
    taskId: string,
    partIds: readonly string[],
    nodeId: bigint,
    answerId = announcementId(partIds),
  ): Promise<string[]> {
    checkPartIds(partIds);
    const upload = await this.#announce(taskId, partIds, nodeId, answerId);
    return upload.wanted();
  }

  /** A part is in memory; returns what to call when it no longer is. Throws when the client sent more than it may. */
  arrived(bytes: number): () => void {
    if (this.#inFlight + bytes > nodeLimits.window) {
      throw new AegisError('NODE_WINDOW', `${this.#inFlight + bytes} bytes, the window is ${nodeLimits.window}.`);
    }
    this.#inFlight += bytes;
    return () => {
      this.#inFlight -= bytes;
    };
  }

  /** Resolves when the part is durable. */
  async part(taskId: string, partId: string, content: Buffer, nodeId: bigint): Promise<void> {
    const { gateway, telemetry } = this.#parts;
    if (content.byteLength > nodeLimits.part) {
      throw new AegisError('BODY_TOO_LARGE', `A part has ${content.byteLength} bytes, at most ${nodeLimits.part}.`);
    }
    const upload = await findTaskUpload(gateway, { nodeId, taskId });
    if (!upload?.announces(partId)) throw new AegisError('PART_NOT_ANNOUNCED', `Part ${partId.slice(0, 80)}.`);
    const { task, traceparent } = upload.record;
    const about = { 'aegis.part': partId, 'aegis.bytes': content.byteLength };
    const put = () => putPart(gateway, upload, partId, content);
    await inTaskSpan(telemetry, 'gateway.put-part', { ...task, traceparent }, put, about);
  }

  /** The verdict, given once and repeated as often as the answer is. `answerId` as in `begin`. */
  async submit(
    submit: Submit,
    nodeId: bigint,
    answerId = announcementId(partsOf(submit)),
    unfold?: Unfold,
  ): Promise<Verdict> {
    const { gateway, telemetry } = this.#parts;
    const { taskId } = submit;
    const announced = await findTaskUpload(gateway, { nodeId, taskId });
    const upload = isOurs(announced) ? announced : await this.#announce(taskId, partsOf(submit), nodeId, answerId);
    const { task, traceparent } = upload.record;
    return inTaskSpan(telemetry, 'gateway.submit-update', { ...task, traceparent }, () =>
      this.#judge(upload, submit, unfold),
    );
  }

  async #judge(upload: OpenUpload, submit: Submit, unfold: Unfold | undefined): Promise<Verdict> {
    const { gateway } = this.#parts;
    const { verdict, head } = upload.record;
    try {
      const stranger = partsOf(submit).find((id) => !upload.announces(id));
      if (stranger !== undefined)
        throw new AegisError('REPLY_MALFORMED', `Part ${stranger.slice(0, 80)} was not announced.`);
      const update = readUpdate(submit, head.toString().slice(HEAD.length));
      if (!(await isUploaded(gateway, upload))) {
        throw new AegisError('PART_NOT_FOUND', `${upload.wanted().length} parts are missing: BeginUpdate tells which.`);
      }
      return await submitUpdate(gateway, upload, unfold ? await this.#unfolded(upload, update, unfold) : update);
    } catch (caught) {
      const error = AegisError.from(caught);
      // The round has gone on and forgotten the task; what was said of this node's answer stands.
      if (error.entry.kind === 'over' && verdict) return verdict;
      const isRefused = error.entry.kind === 'invalid' || error.entry.kind === 'too-large';
      if (!isRefused || verdict) throw error;
      return refuseUpdate(gateway, upload, error.code, error.detail);
    }
  }

  async #unfolded({ record }: OpenUpload, update: Update, unfold: Unfold): Promise<Update> {
    const keep = async (content: Buffer): Promise<string> => {
      const partId = await sha256Hex([content]);
      await this.#parts.gateway.aggregator.appendPart(record.task, partId, content);
      return partId;
    };
    return { ...update, tensors: await unfold(record.task, keep) };
  }

  async #announce(taskId: string, partIds: readonly string[], nodeId: bigint, answerId: string): Promise<OpenUpload> {
    const { gateway, telemetry } = this.#parts;
    const known = await findTaskUpload(gateway, { nodeId, taskId });
    // Answered, and perhaps withdrawn since: nothing is wanted any more.
    if (isOurs(known) && known.record.replyId === answerId && known.record.verdict) return known;
    const task = await this.#taskOf(taskId);
    return inTaskSpan(telemetry, 'gateway.announce-upload', task, () =>
      announceUpload(gateway, {
        task,
        replyId: answerId,
        head: Buffer.from(`${HEAD}${task.layout.weightedByKey}`),
        partIds,
        runtimeSeconds: 0,
        traceparent: task.traceparent,
      }),
    );
  }
}

const isOurs = (upload: OpenUpload | null): upload is OpenUpload =>
  upload?.record.head.subarray(0, HEAD.length).toString() === HEAD;
