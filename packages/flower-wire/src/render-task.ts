// A task of ours as the Flower message a node runs. Deterministic: the same task and model give the same bytes, so any
// replica, or a restarted gateway, offers the same message and answers for the same objects.

import { AegisError } from '@aegis/errors';
import type { MessageHead, ObjectTreeNode } from './fleet-contract.ts';
import { sha256Hex } from './hash.ts';
import { makeMessageObject, SERVER_NODE_ID } from './message.ts';
import { arrayBody, type MadeObject, makeObject, namesBody, objectHeader } from './objects.ts';
import { type ConfigEntry, encodeConfigRecord } from './records.ts';
import { SECAGGPLUS_RECORD, type SecaggplusRequest, secaggplusEntries } from './secaggplus.ts';

export type RecordDialect = 'message' | 'legacy';
export type TaskKind = 'train' | 'evaluate' | 'initial-model';

export interface RecordLayout {
  dialect: RecordDialect;
  arrayRecordKey: string;
  configRecordKey: string;
  weightedByKey: string;
}

export interface TaskToRender {
  runId: bigint;
  kind: TaskKind;
  nodeId: bigint;
  config: ConfigEntry[];
  layout: RecordLayout;
  /** Unix seconds. */
  createdAt: number;
  /** Seconds. */
  ttl: number;
  groupId: string;
  /** A stage of Flower's own SecAgg+: only the one that collects vectors comes with model and config. */
  secaggplus?: SecaggplusRequest | undefined;
}

/** A model's body is its tensors' .npy files; `offset` and `length` say where each one is. */
export interface ModelLayout {
  modelId: string;
  tensors: { name: string; dtype: string; shape: readonly number[]; offset: number; length: number }[];
}

/** Reads from a model's body. May return a view. */
export type ReadModel = (offset: number, length: number) => Promise<Uint8Array>;

/** Bytes to serve for an object id: whole and small, or a header followed by a slice of the model's body. */
export type ObjectPiece =
  | { kind: 'bytes'; bytes: Buffer }
  | { kind: 'slice'; header: Buffer; offset: number; length: number };

export interface RenderedMessage {
  messageId: string;
  head: MessageHead;
  tree: ObjectTreeNode;
  objects: ReadonlyMap<string, ObjectPiece>;
}

/** An ArrayRecord with all that hangs below it; the same for every node and task that starts from this model. */
export interface ModelObjects {
  tree: ObjectTreeNode;
  objects: ReadonlyMap<string, ObjectPiece>;
}

/** Bytes of .npy data in one ArrayChunk, as the stock clients cut them since 1.23. */
export const CHUNK_BYTES = 5_242_880;

/** What a stock client calls a dtype in an Array object (informative; the npy header decides). */
const dtypeNames: Readonly<Record<string, string>> = {
  '<f2': 'float16',
  '<f4': 'float32',
  '<f8': 'float64',
  '|i1': 'int8',
  '<i2': 'int16',
  '<i4': 'int32',
  '<i8': 'int64',
  '|u1': 'uint8',
  '<u2': 'uint16',
  '<u4': 'uint32',
  '<u8': 'uint64',
  '|b1': 'bool',
};

/** Reads and hashes the whole model once: keep the result (`ModelObjectsCache`). */
export async function renderModel(
  model: ModelLayout,
  dialect: RecordDialect,
  read: ReadModel,
  chunkBytes: number = CHUNK_BYTES,
): Promise<ModelObjects> {
  const objects = new Map<string, ObjectPiece>();
  const names: [string, string][] = [];
  const arrays = new Map<string, ObjectTreeNode>();
  const add = ({ id, bytes }: MadeObject): string => {
    objects.set(id, { kind: 'bytes', bytes });
    return id;
  };
  for (const [index, tensor] of model.tensors.entries()) {
    const chunkIds: string[] = [];
    for (let at = 0; at < tensor.length; at += chunkBytes) {
      const length = Math.min(chunkBytes, tensor.length - at);
      const header = objectHeader('ArrayChunk', [], length);
      const content = await read(tensor.offset + at, length);
      if (content.byteLength !== length) {
        throw new AegisError('INTERNAL', `The model gave ${content.byteLength} bytes where ${length} were asked for.`);
      }
      const id = await sha256Hex([header, content]);
      if (!objects.has(id)) objects.set(id, { kind: 'slice', header, offset: tensor.offset + at, length });
      chunkIds.push(id);
    }
    const distinct = [...new Set(chunkIds)];
    const legacy = dialect === 'legacy';
    const body = arrayBody({
      dtype: legacy ? '' : (dtypeNames[tensor.dtype] ?? tensor.dtype),
      shape: legacy ? [] : [...tensor.shape],
      stype: 'numpy.ndarray',
      chunks: chunkIds.map((id) => distinct.indexOf(id)),
    });
    const arrayId = add(makeObject('Array', distinct, body));
    names.push([legacy ? String(index) : tensor.name, arrayId]);
    arrays.set(arrayId, { id: arrayId, children: distinct.map((id) => ({ id, children: [] })) });
  }
  const recordId = add(makeObject('ArrayRecord', arrays.keys(), namesBody(names)));
  return { tree: { id: recordId, children: [...arrays.values()] }, objects };
}

/**
 * The message of one task. `model` is null exactly for 'initial-model', which asks a legacy app's node for its
 * parameters, and for stages of SecAgg+ without training. Cheap: everything that depends on the model comes ready.
 */
export function renderTaskWith(task: TaskToRender, model: ModelObjects | null): RenderedMessage {
  const { names, type } = recordNames(task);
  if ((model === null) !== (names.arrays === null)) {
    throw new AegisError('INTERNAL', `A task of kind ${task.kind} ${model === null ? 'needs a' : 'takes no'} model.`);
  }
  const objects = new Map<string, ObjectPiece>();
  const records = new Map<string, ObjectTreeNode>();
  const content: [string, string][] = [];
  if (model !== null && names.arrays !== null) {
    for (const [id, piece] of model.objects) objects.set(id, piece);
    records.set(model.tree.id, model.tree);
    content.push([names.arrays, model.tree.id]);
  }
  const addConfig = (name: string, entries: readonly ConfigEntry[]): void => {
    const config = makeObject('ConfigRecord', [], encodeConfigRecord(entries));
    objects.set(config.id, { kind: 'bytes', bytes: config.bytes });
    records.set(config.id, { id: config.id, children: [] });
    content.push([name, config.id]);
  };
  if (names.config !== null) addConfig(names.config, task.config);
  if (task.secaggplus !== undefined) addConfig(SECAGGPLUS_RECORD, secaggplusEntries(task.secaggplus));

  const dict = makeObject('RecordDict', records.keys(), namesBody(content));
  objects.set(dict.id, { kind: 'bytes', bytes: dict.bytes });
  const head = {
    runId: task.runId,
    sourceNodeId: SERVER_NODE_ID,
    destinationNodeId: task.nodeId,
    replyTo: '',
    groupId: task.groupId,
    ttl: task.ttl,
    type,
    createdAt: task.createdAt,
  };
  const message = makeMessageObject(head, dict.id);
  objects.set(message.id, { kind: 'bytes', bytes: message.bytes });
  return {
    messageId: message.id,
    head: { ...head, messageId: message.id },
    tree: { id: message.id, children: [{ id: dict.id, children: [...records.values()] }] },
    objects,
  };
}

/** Renders a task, taking the model's objects from `cache` when one is given. */
export async function renderTask(
  task: TaskToRender,
  model: ModelLayout | null,
  read: ReadModel,
  cache?: ModelObjectsCache,
): Promise<RenderedMessage> {
  if (model === null) return renderTaskWith(task, null);
  const { dialect } = task.layout;
  return renderTaskWith(task, await (cache?.get(model, dialect, read) ?? renderModel(model, dialect, read)));
}

/** Hashes each (model, dialect) once, also when many nodes ask at the same time; forgets the ones not used longest. */
export class ModelObjectsCache {
  readonly #entries = new Map<string, Promise<ModelObjects>>();
  readonly #capacity: number;

  constructor(capacity = 8) {
    this.#capacity = capacity;
  }

  get(model: ModelLayout, dialect: RecordDialect, read: ReadModel): Promise<ModelObjects> {
    const key = `${dialect} ${model.modelId}`;
    const entry = this.#entries.get(key) ?? this.#render(key, model, dialect, read);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    for (const old of this.#entries.keys()) {
      if (this.#entries.size <= this.#capacity) break;
      this.#entries.delete(old);
    }
    return entry;
  }

  async #render(key: string, model: ModelLayout, dialect: RecordDialect, read: ReadModel): Promise<ModelObjects> {
    try {
      return await renderModel(model, dialect, read);
    } catch (cause) {
      this.#entries.delete(key);
      throw cause;
    }
  }
}

function recordNames(task: TaskToRender): { type: string; names: { arrays: string | null; config: string | null } } {
  const { secaggplus } = task;
  if (secaggplus !== undefined && secaggplus.stage !== 'collect_masked_vectors')
    return { type: 'train', names: { arrays: null, config: null } };
  const { dialect, arrayRecordKey, configRecordKey } = task.layout;
  if (dialect === 'message') {
    if (task.kind === 'initial-model') {
      throw new AegisError('PLAN_INVALID', 'Only a legacy app can be asked for the initial model.');
    }
    return { type: task.kind, names: { arrays: arrayRecordKey, config: configRecordKey } };
  }
  switch (task.kind) {
    case 'train':
      return { type: 'train', names: { arrays: 'fitins.parameters', config: 'fitins.config' } };
    case 'evaluate':
      return { type: 'evaluate', names: { arrays: 'evaluateins.parameters', config: 'evaluateins.config' } };
    case 'initial-model':
      return { type: 'get_parameters', names: { arrays: null, config: 'getparametersins.config' } };
  }
}
