import {
  type FlowerAnswer,
  IntakeService,
  type Slice,
  type SubmitUpdateRequest,
  type TensorUpdate,
  type TaskRef as WireTaskRef,
} from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { AegisError } from '@aegis/errors';
import { type LocalService, serviceOf } from '@aegis/service-kit';
import type { Answer, FlowerSaid, PartSlice, TaskRef, TensorSource } from '../domain/answer.ts';
import { appendPart, failTask, missingParts, readPart, submitUpdate } from '../flows/answer-task.ts';
import { getApp } from '../flows/get-app.ts';
import { getRun } from '../flows/get-run.ts';
import type { Ground } from '../flows/ground.ts';
import type { RunOwner } from '../flows/own-runs.ts';
import { describeModel, readModel } from '../flows/read-models.ts';
import { writeRun } from './run-views.ts';
import { readEntries } from './scalars.ts';

/** What the edge asks while nodes work: parse, one flow, encode. */
export const intakeService = (ground: Ground, owner: RunOwner): LocalService =>
  serviceOf(IntakeService, {
    getRun: async ({ runId }) => writeRun(await getRun(ground, runId)),
    getApp: async ({ runId, appHash }) => {
      const app = await getApp(ground, runId, appHash);
      return { appHash: app.hash, verifications: {}, fab: app.fab };
    },
    describeModel: async ({ modelId }) => {
      const model = await describeModel(ground, modelId);
      const tensors = model.tensors.map((tensor) => ({
        name: tensor.name,
        dtype: tensor.dtype,
        shape: tensor.shape.map(BigInt),
        offset: BigInt(tensor.offset),
        length: BigInt(tensor.length),
      }));
      return { modelId: model.modelId, bytes: BigInt(model.bytes), tensors };
    },
    readModel: async ({ modelId, offset, length }) => ({
      content: await readModel(ground, modelId, readSize(offset, 'offset'), readSize(length, 'length')),
    }),
    missingParts: async ({ task, partIds }) => ({
      partIds: await missingParts(owner, readTask(task), partIds.map(readPartId)),
    }),
    appendPart: async ({ task, partId, content }) =>
      appendPart(owner, readTask(task), readPartId(partId), readPartContent(content)),
    readPart: async ({ task, partId, length }) => ({
      content: await readPart(
        owner,
        readTask(task),
        readPartId(partId),
        length === 0n ? undefined : readSize(length, 'length'),
      ),
    }),
    submitUpdate: async (request) => {
      const verdict = await submitUpdate(owner, readTask(request.task), readAnswer(request));
      if (verdict.accepted) return { accepted: true, refusalCode: '', refusal: '' };
      return {
        accepted: false,
        refusalCode: verdict.code,
        refusal: new AegisError(verdict.code, verdict.detail).message,
      };
    },
    failTask: async ({ task, code, reason }) => {
      await failTask(owner, readTask(task), code, reason);
      return {};
    },
  });

const MAX_PART_BYTES = 64 * 1024 * 1024;
const MAX_TENSORS = 100_000;

function readTask(task: WireTaskRef | undefined): TaskRef {
  if (task === undefined || task.taskId === '') throw new AegisError('REQUEST_MALFORMED', 'It names no task.');
  return task;
}

function readPartId(id: string): string {
  if (!/^[0-9a-f]{64}$/.test(id))
    throw new AegisError('REQUEST_MALFORMED', 'A part is named by its SHA-256 in lower-case hex.');
  return id;
}

function readPartContent(content: Buffer): Buffer {
  if (content.length > MAX_PART_BYTES) throw new AegisError('BODY_TOO_LARGE', `The part has ${content.length} bytes.`);
  return content;
}

function readSize(value: bigint, field: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new AegisError('REQUEST_MALFORMED', `${field} is ${value}.`);
  return Number(value);
}

function readAnswer({ tensors, metrics, weight, runtimeSeconds, masked, flower }: SubmitUpdateRequest): Answer {
  if (tensors.length > MAX_TENSORS)
    throw new AegisError('REPLY_MALFORMED', `It has ${tensors.length} arrays, the limit is ${MAX_TENSORS}.`);
  if (masked.length > MAX_TENSORS)
    throw new AegisError('REPLY_MALFORMED', `Its vector has ${masked.length} slices, the limit is ${MAX_TENSORS}.`);
  return {
    tensors: tensors.map(readTensor),
    metrics: readEntries(metrics as never),
    weight: weight ?? null,
    runtimeSeconds,
    ...(masked.length > 0 && { masked: masked.map(readSlice) }),
    ...(flower && { flower: readFlower(flower) }),
  };
}

function readFlower({ says }: FlowerAnswer): FlowerSaid {
  switch (says?.$case) {
    case 'setup':
      return { stage: 'setup', pk1: says.value.pk1, pk2: says.value.pk2 };
    case 'shareKeys': {
      const sealed = says.value.sealed.map(({ nodeId, ciphertext }) => ({ to: nodeId, ciphertext }));
      return { stage: 'share_keys', sealed };
    }
    case 'collect': {
      const { arrays } = says.value;
      if (arrays.reduce((sum, { slices }) => sum + slices.length, arrays.length) > 2 * MAX_TENSORS)
        throw new AegisError('REPLY_MALFORMED', `Its vector has more than ${MAX_TENSORS} arrays or slices.`);
      return { stage: 'collect_masked_vectors', arrays: arrays.map(({ slices }) => slices.map(readSlice)) };
    }
    case 'unmask': {
      const openings = says.value.openings.map(({ nodeId, share }) => ({ of: nodeId, share }));
      return { stage: 'unmask', openings };
    }
    case undefined:
      throw new AegisError('REQUEST_MALFORMED', 'The answer to a stage says nothing.');
  }
}

const readTensor = ({ name, slices }: TensorUpdate): TensorSource => ({ name, slices: slices.map(readSlice) });

const readSlice = ({ partId, offset, length }: Slice): PartSlice => ({
  part: readPartId(partId),
  offset: readSize(offset, 'offset'),
  length: readSize(length, 'length'),
});
