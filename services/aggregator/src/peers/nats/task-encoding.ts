import {
  type FlowerStage,
  RecordDialect,
  TaskKind,
  type ConfigEntry as WireEntry,
  type Scalar as WireScalar,
  Task as WireTask,
} from '@aegis/contracts/aegis/events/v1/task';
import type { Request } from '../../domain/flower-secagg/request.ts';
import type { ConfigEntry, Scalar } from '../../domain/scalar.ts';
import type { Task, TaskAddress } from '../contract.ts';
import { toWireMasking } from '../wire-masking.ts';

const kinds = { train: TaskKind.TRAIN, evaluate: TaskKind.EVALUATE, 'initial-model': TaskKind.INITIAL_MODEL } as const;
const dialects = { message: RecordDialect.MESSAGE, legacy: RecordDialect.LEGACY } as const;

export function encodeTask(task: Task): Uint8Array {
  return WireTask.encode({
    taskId: task.taskId,
    runId: task.runId,
    round: task.round,
    kind: kinds[task.kind],
    nodeId: task.nodeId,
    modelId: task.modelId ?? '',
    config: task.config.map(wireEntry),
    layout: { ...task.layout, dialect: dialects[task.layout.dialect] },
    createdAt: task.createdAt / 1000,
    ttl: task.ttlSeconds,
    groupId: task.groupId,
    traceparent: task.traceparent,
    deadline: task.deadline / 1000,
    join: task.join,
    masking: task.masking && toWireMasking(task.masking),
    flower: task.flower && flowerStage(task.flower),
  }).finish();
}

function flowerStage(request: Request): FlowerStage {
  switch (request.stage) {
    case 'setup': {
      const { stage: _, targetRange, modRange, ...numbers } = request;
      return {
        asks: { $case: 'setup', value: { ...numbers, targetRange: BigInt(targetRange), modRange: BigInt(modRange) } },
      };
    }
    case 'share_keys': {
      const keys = request.keys.map(({ node, pk1, pk2 }) => ({
        nodeId: node,
        pk1: Buffer.from(pk1),
        pk2: Buffer.from(pk2),
      }));
      return { asks: { $case: 'shareKeys', value: { keys } } };
    }
    case 'collect_masked_vectors': {
      const sealed = request.sealed.map(({ from, ciphertext }) => ({
        nodeId: from,
        ciphertext: Buffer.from(ciphertext),
      }));
      return { asks: { $case: 'collect', value: { sealed } } };
    }
    case 'unmask':
      return { asks: { $case: 'unmask', value: { active: [...request.active], dead: [...request.dead] } } };
  }
}

/** Whose task it is; null when it is not a task that this release can read. */
export function decodeAddress(bytes: Uint8Array): (TaskAddress & { readonly runId: bigint }) | null {
  try {
    const { taskId, nodeId, runId } = WireTask.decode(bytes);
    return { taskId, nodeId, runId };
  } catch {
    return null;
  }
}

const wireEntry = ({ key, value }: ConfigEntry): WireEntry => ({ key, value: wireScalar(value) });

function wireScalar(scalar: Scalar): WireScalar {
  switch (scalar.kind) {
    case 'real':
      return { value: { $case: 'real', value: scalar.value } };
    case 'integer':
      return { value: { $case: 'integer', value: scalar.value } };
    case 'flag':
      return { value: { $case: 'flag', value: scalar.value } };
    case 'text':
      return { value: { $case: 'text', value: scalar.value } };
    case 'data':
      return { value: { $case: 'data', value: Buffer.from(scalar.value) } };
    case 'reals':
      return { value: { $case: 'reals', value: { values: [...scalar.value] } } };
    case 'integers':
      return { value: { $case: 'integers', value: { values: [...scalar.value] } } };
    case 'flags':
      return { value: { $case: 'flags', value: { values: [...scalar.value] } } };
    case 'texts':
      return { value: { $case: 'texts', value: { values: [...scalar.value] } } };
    case 'datas':
      return { value: { $case: 'datas', value: { values: scalar.value.map((item) => Buffer.from(item)) } } };
  }
}
