import { sha256Hex } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import type { JoinReply } from '@aegis/flower-wire';
import type { ModelFacts, Update } from '../../domain/run.ts';
import type { Task } from '../../domain/task.ts';
import type { Verdict } from '../../domain/upload.ts';
import { announceUpload } from '../../flows/announce-upload.ts';
import { FAILURE, failTask } from '../../flows/fail-task.ts';
import type { Gateway } from '../../flows/gateway.ts';
import { putPart } from '../../flows/put-part.ts';
import { submitUpdate } from '../../flows/submit-update.ts';

const PART_BYTES = 4 * 2 ** 20;
const PARTS_AT_ONCE = 4;

/** An answer to its task, as parts and a submission like everybody's. */
export const handIn = async (
  gateway: Gateway,
  task: Task,
  model: ModelFacts | null,
  reply: Exclude<JoinReply, { kind: 'disconnect' }>,
): Promise<Verdict> => {
  if (reply.kind === 'failure') {
    await failTask(gateway, task, reply.code, reply.reason);
    return { accepted: true };
  }
  if (reply.kind !== task.kind) {
    const reason = `The answer is of kind ${reply.kind}, not ${task.kind}.`;
    await failTask(gateway, task, FAILURE.replyUnavailable, reason);
    return { accepted: false, code: 'REPLY_MALFORMED', detail: reason };
  }
  const parts = new Map<string, Buffer>();
  const arrays = reply.kind === 'evaluate' ? [] : reply.tensors;
  const tensors: { name: string; slices: { partId: string; offset: number; length: number }[] }[] = [];
  for (const [index, npy] of arrays.entries()) {
    const slices: { partId: string; offset: number; length: number }[] = [];
    for (let at = 0; at < npy.byteLength; at += PART_BYTES) {
      const content = npy.subarray(at, at + PART_BYTES);
      const partId = await sha256Hex([content]);
      parts.set(partId, content);
      slices.push({ partId, offset: 0, length: content.byteLength });
    }
    // These clients number their arrays: they stand in the order of the model's.
    tensors.push({ name: model?.tensors[index]?.name ?? String(index), slices });
  }
  const { metrics, weight } = reply.kind === 'initial-model' ? { metrics: [], weight: undefined } : reply;
  const runtimeSeconds = Math.max(gateway.clock.now() / 1000 - task.createdAt, 0);
  return store(gateway, task, parts, { tensors, metrics, weight, runtimeSeconds });
};

const store = async (
  gateway: Gateway,
  task: Task,
  parts: ReadonlyMap<string, Buffer>,
  update: Update,
): Promise<Verdict> => {
  const partIds = [...parts.keys()];
  const { traceparent } = task;
  const replyId = await sha256Hex([Buffer.from(`join ${task.taskId} ${partIds.join(' ')}`)]);
  const head = Buffer.from('flwr.proto.FlowerService');
  const upload = await announceUpload(gateway, {
    task,
    replyId,
    head,
    partIds,
    runtimeSeconds: update.runtimeSeconds,
    traceparent,
  });
  const wanted = upload.wanted();
  const send = async (): Promise<void> => {
    for (let partId = wanted.shift(); partId !== undefined; partId = wanted.shift()) {
      const content = parts.get(partId);
      if (!content) throw new AegisError('INTERNAL', 'A part is wanted that was not announced.');
      await putPart(gateway, upload, partId, content);
    }
  };
  await Promise.all(Array.from({ length: PARTS_AT_ONCE }, send));
  return submitUpdate(gateway, upload, update);
};
