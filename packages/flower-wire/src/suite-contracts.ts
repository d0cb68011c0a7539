// The suite's own contracts against the plain types of this package, for callers that hold generated messages.

import type { Metric } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import {
  type FlowerStage,
  RecordDialect,
  type ConfigEntry as SuiteEntry,
  type Scalar as SuiteScalar,
  type Task,
  TaskKind,
} from '@aegis/contracts/aegis/events/v1/task';
import { AegisError } from '@aegis/errors';
import type { ConfigEntry, Scalar } from './records.ts';
import type { TaskToRender } from './render-task.ts';
import type { SecaggplusRequest } from './secaggplus.ts';

export function toTaskToRender(task: Task): TaskToRender {
  const kind = kinds[task.kind];
  const layout = task.layout;
  if (kind === undefined || layout === undefined) throw new AegisError('INTERNAL', 'The task has no kind or layout.');
  return {
    runId: task.runId,
    kind,
    nodeId: task.nodeId,
    config: task.config.map(toEntry),
    layout: {
      dialect: layout.dialect === RecordDialect.LEGACY ? 'legacy' : 'message',
      arrayRecordKey: layout.arrayRecordKey,
      configRecordKey: layout.configRecordKey,
      weightedByKey: layout.weightedByKey,
    },
    createdAt: task.createdAt,
    ttl: task.ttl,
    groupId: task.groupId,
    secaggplus: task.flower && toSecaggplus(task.flower),
  };
}

function toSecaggplus({ asks }: FlowerStage): SecaggplusRequest {
  switch (asks?.$case) {
    case 'setup': {
      const { targetRange, modRange, ...numbers } = asks.value;
      return { stage: 'setup', ...numbers, targetRange: Number(targetRange), modRange: Number(modRange) };
    }
    case 'shareKeys': {
      const keys = asks.value.keys.map(({ nodeId, pk1, pk2 }) => ({ node: nodeId, pk1, pk2 }));
      return { stage: 'share_keys', keys };
    }
    case 'collect': {
      const sealed = asks.value.sealed.map(({ nodeId, ciphertext }) => ({ from: nodeId, ciphertext }));
      return { stage: 'collect_masked_vectors', sealed };
    }
    case 'unmask':
      return { stage: 'unmask', active: asks.value.active, dead: asks.value.dead };
    case undefined:
      throw new AegisError('INTERNAL', 'The stage of the task asks for nothing.');
  }
}

const kinds: Readonly<Record<number, TaskToRender['kind']>> = {
  [TaskKind.TRAIN]: 'train',
  [TaskKind.EVALUATE]: 'evaluate',
  [TaskKind.INITIAL_MODEL]: 'initial-model',
};

export function toEntry({ key, value }: SuiteEntry): ConfigEntry {
  const scalar = value?.value;
  switch (scalar?.$case) {
    case 'real':
      return { key, value: { kind: 'real', value: scalar.value } };
    case 'integer':
      return { key, value: { kind: 'integer', value: scalar.value } };
    case 'flag':
      return { key, value: { kind: 'flag', value: scalar.value } };
    case 'text':
      return { key, value: { kind: 'text', value: scalar.value } };
    case 'data':
      return { key, value: { kind: 'data', value: scalar.value } };
    case 'reals':
      return { key, value: { kind: 'reals', value: scalar.value.values } };
    case 'integers':
      return { key, value: { kind: 'integers', value: scalar.value.values } };
    case 'flags':
      return { key, value: { kind: 'flags', value: scalar.value.values } };
    case 'texts':
      return { key, value: { kind: 'texts', value: scalar.value.values } };
    case 'datas':
      return { key, value: { kind: 'datas', value: scalar.value.values } };
    case undefined:
      throw new AegisError('INTERNAL', `The entry "${key}" has no value.`);
  }
}

/** Works for ConfigEntry and Metric alike. Integers beyond 63 bits become reals: our contracts have sint64 only. */
export function fromEntry({ key, value }: ConfigEntry): Metric {
  return { key, value: { value: suiteValue(value) } };
}

function suiteValue(scalar: Scalar): NonNullable<SuiteScalar['value']> {
  switch (scalar.kind) {
    case 'real':
      return { $case: 'real', value: scalar.value };
    case 'integer':
      return fits(scalar.value)
        ? { $case: 'integer', value: scalar.value }
        : { $case: 'real', value: Number(scalar.value) };
    case 'flag':
      return { $case: 'flag', value: scalar.value };
    case 'text':
      return { $case: 'text', value: scalar.value };
    case 'data':
      return { $case: 'data', value: scalar.value };
    case 'reals':
      return { $case: 'reals', value: { values: scalar.value } };
    case 'integers':
      return scalar.value.every(fits)
        ? { $case: 'integers', value: { values: scalar.value } }
        : { $case: 'reals', value: { values: scalar.value.map(Number) } };
    case 'flags':
      return { $case: 'flags', value: { values: scalar.value } };
    case 'texts':
      return { $case: 'texts', value: { values: scalar.value } };
    case 'datas':
      return { $case: 'datas', value: { values: scalar.value } };
  }
}

const fits = (value: bigint): boolean => BigInt.asIntN(64, value) === value;
