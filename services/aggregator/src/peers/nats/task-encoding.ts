import {
  RecordDialect,
  TaskKind,
  type ConfigEntry as WireEntry,
  type Scalar as WireScalar,
  Task as WireTask,
} from '@aegis/contracts/aegis/events/v1/task';
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
  }).finish();
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
