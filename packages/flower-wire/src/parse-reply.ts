// A node's reply as the update it carries. Reads only the small structural objects; the tensors stay where they are and
// are named as slices of stored parts.

import { AegisError } from '@aegis/errors';
import { byteLists } from './byte-lists.ts';
import type { ObjectTreeNode, ReplyHead } from './fleet-contract.ts';
import { limits } from './limits.ts';
import { readMessage, sameMessage } from './message.ts';
import {
  type ArrayBody,
  checkChild,
  type HeldObject,
  type ObjectType,
  readArrayBody,
  readNamesBody,
} from './objects.ts';
import { type ConfigEntry, decodeConfigRecord, decodeMetricRecord, type Scalar } from './records.ts';
import type { RecordLayout, TaskKind } from './render-task.ts';
import { readSecaggplusAnswer, SECAGGPLUS_RECORD, type SecaggplusAnswer, type SecaggplusStage } from './secaggplus.ts';

export interface ReplySlice {
  part: string;
  offset: number;
  length: number;
}

export interface ReplyTensor {
  name: string;
  /** Joined, they are one complete .npy file. */
  slices: ReplySlice[];
}

export interface ReplyExpectation {
  kind: TaskKind;
  layout: RecordLayout;
  /** Legacy apps number their arrays; these are the model's names in order. Empty for 'initial-model'. */
  tensorNames: readonly string[];
  /** The stage of Flower's own SecAgg+ that was asked for. */
  secaggplus?: SecaggplusStage | undefined;
}

/** What a node says in a stage; the arrays of its vector are named as slices, each of one .npy file. */
export type SecaggplusReply =
  | Exclude<SecaggplusAnswer, { stage: 'collect_masked_vectors' }>
  | { stage: 'collect_masked_vectors'; arrays: ReplySlice[][] };

export type ParsedReply =
  /** `weight` null: the reply has none under the agreed key. `metrics` are numbers and lists of numbers. */
  | {
      outcome: 'update';
      tensors: ReplyTensor[];
      metrics: ConfigEntry[];
      weight: number | null;
      secaggplus?: SecaggplusReply;
    }
  /** The node says it could not do the task. */
  | { outcome: 'failure'; code: number; reason: string };

const refuse = (detail: string): AegisError => new AegisError('REPLY_MALFORMED', detail);

/** Throws REPLY_MALFORMED, OBJECT_TREE or OBJECT_MALFORMED when the objects do not form an answer to this task. */
export function parseReply(
  head: ReplyHead,
  tree: ObjectTreeNode,
  objects: ReadonlyMap<string, HeldObject>,
  expected: ReplyExpectation,
): ParsedReply {
  if (head.error !== null) return { outcome: 'failure', ...head.error };
  const reader = new ReplyReader(objects);
  reader.check(tree);
  const message = reader.take(tree.id, 'Message');
  const inside = readMessage(message.body);
  if (inside.error !== null) return { outcome: 'failure', ...inside.error };
  if (!sameMessage(inside, head)) throw refuse('The message announced and the Message object differ.');
  const [contentId] = message.children;
  if (contentId === undefined) throw refuse('The reply has neither content nor error.');
  const content = reader.names(contentId, 'RecordDict');
  if (expected.secaggplus !== undefined) return parseSecaggplus(reader, new Map(content), expected.secaggplus);
  return expected.layout.dialect === 'message'
    ? parseMessageReply(reader, content, expected)
    : parseLegacyReply(reader, new Map(content), expected);
}

function parseMessageReply(reader: ReplyReader, content: [string, string][], expected: ReplyExpectation): ParsedReply {
  const ofType = (type: ObjectType): string[] => content.map(([, id]) => id).filter((id) => reader.type(id) === type);
  const [metricsId, ...moreMetrics] = ofType('MetricRecord');
  if (metricsId === undefined || moreMetrics.length > 0) throw refuse('The reply must have exactly one MetricRecord.');
  const entries = reader.metrics(metricsId);
  const { weightedByKey } = expected.layout;
  const weight = numberOf(entries.find(({ key }) => key === weightedByKey)?.value);
  const metrics = entries.filter(({ key }) => key !== weightedByKey);
  if (expected.kind === 'evaluate') return { outcome: 'update', tensors: [], metrics, weight };
  const [arraysId, ...moreArrays] = ofType('ArrayRecord');
  if (arraysId === undefined || moreArrays.length > 0) throw refuse('The reply must have exactly one ArrayRecord.');
  return { outcome: 'update', tensors: reader.tensors(arraysId), metrics, weight };
}

/** Record names of `Client` and `NumPyClient` answers, by kind of task. */
const legacyNames = {
  train: 'fitres',
  evaluate: 'evaluateres',
  'initial-model': 'getparametersres',
} as const satisfies Record<TaskKind, string>;

function parseLegacyReply(
  reader: ReplyReader,
  content: ReadonlyMap<string, string>,
  expected: ReplyExpectation,
): ParsedReply {
  const prefix = legacyNames[expected.kind];
  const idOf = (name: string): string => {
    const id = content.get(`${prefix}.${name}`);
    if (id === undefined) throw refuse(`The reply has no record "${prefix}.${name}".`);
    return id;
  };
  const status = new Map(reader.config(idOf('status')).map(({ key, value }) => [key, value]));
  const code = numberOf(status.get('code'));
  const text = status.get('message');
  if (code === null) throw refuse(`The record "${prefix}.status" has no code.`);
  if (code !== 0) return { outcome: 'failure', code, reason: text?.kind === 'text' ? text.value : '' };

  const tensors = expected.kind === 'evaluate' ? [] : renamed(reader.tensors(idOf('parameters')), expected.tensorNames);
  if (expected.kind === 'initial-model') return { outcome: 'update', tensors, metrics: [], weight: null };
  const examples = reader.metrics(idOf('num_examples')).find(({ key }) => key === 'num_examples')?.value;
  const metrics = reader.config(idOf('metrics')).filter(({ value }) => isNumeric(value));
  if (expected.kind === 'evaluate') {
    const loss = reader.metrics(idOf('loss')).find(({ key }) => key === 'loss');
    if (loss === undefined) throw refuse('The record "evaluateres.loss" has no loss.');
    metrics.unshift(loss);
  }
  return { outcome: 'update', tensors, metrics, weight: numberOf(examples) };
}

const MASKED_VECTOR = 'masked_params';

/** The records of an app with `secaggplus_mod`: beside the stage's own, those of a legacy answer where it trained, with no arrays. */
function parseSecaggplus(
  reader: ReplyReader,
  content: ReadonlyMap<string, string>,
  stage: SecaggplusStage,
): ParsedReply {
  const id = content.get(SECAGGPLUS_RECORD);
  if (id === undefined)
    throw refuse(`The reply has no record "${SECAGGPLUS_RECORD}": the app must have secaggplus_mod among its mods.`);
  if (stage !== 'collect_masked_vectors') {
    const secaggplus = readSecaggplusAnswer(stage, reader.config(id)) as SecaggplusReply;
    return { outcome: 'update', tensors: [], metrics: [], weight: null, secaggplus };
  }
  const layout: RecordLayout = { dialect: 'legacy', arrayRecordKey: '', configRecordKey: '', weightedByKey: '' };
  const trained = parseLegacyReply(reader, content, { kind: 'train', layout, tensorNames: [] });
  if (trained.outcome === 'failure') return trained;
  if (trained.tensors.length > 0) throw refuse('There are arrays in the clear beside the masked vector.');
  const arrays = reader.bytesList(id, MASKED_VECTOR).map((slice) => [slice]);
  return { ...trained, secaggplus: { stage, arrays } };
}

/** Legacy arrays are "0", "1", …; the placeholder of an empty list is "_empty". */
function renamed(tensors: ReplyTensor[], names: readonly string[]): ReplyTensor[] {
  if (tensors.length === 1 && tensors[0]?.name === '_empty' && tensors[0].slices.length === 0) return [];
  return tensors.map((tensor) => {
    const index = /^(0|[1-9][0-9]{0,8})$/.test(tensor.name) ? Number(tensor.name) : -1;
    return { name: names[index] ?? tensor.name, slices: tensor.slices };
  });
}

function numberOf(value: Scalar | undefined): number | null {
  if (value?.kind === 'real') return value.value;
  return value?.kind === 'integer' ? Number(value.value) : null;
}

/** Text, bytes and their lists have no mean: they stay behind. */
const isNumeric = ({ kind }: Scalar): boolean =>
  kind === 'real' || kind === 'integer' || kind === 'reals' || kind === 'integers';

/** The objects of one reply, read with their types and children checked against the announced tree. */
class ReplyReader {
  readonly #objects: ReadonlyMap<string, HeldObject>;
  /** One Array may stand under many names; it is decoded once. */
  readonly #arrays = new Map<string, ArrayBody>();
  #slices = 0;

  constructor(objects: ReadonlyMap<string, HeldObject>) {
    this.#objects = objects;
  }

  /**
   * Every object of the tree is here, has exactly the children announced for it, and only such as its type is made of.
   * Branches may be shared: a node is looked at once, however many ways lead to it.
   */
  check(tree: ObjectTreeNode): void {
    const found = new Set([tree]);
    for (const node of found) {
      const object = this.#get(node.id);
      const announced = new Set(node.children.map(({ id }) => id));
      if (announced.size !== object.children.length || !object.children.every((id) => announced.has(id))) {
        throw refuse(`The object ${node.id} does not have the children that were announced.`);
      }
      for (const child of node.children) {
        checkChild(object.type, child.id, this.#get(child.id).type);
        // A set hands out what is added to it on the way.
        found.add(child);
      }
    }
  }

  type(id: string): ObjectType {
    return this.#get(id).type;
  }

  take(id: string, type: ObjectType): { body: Buffer; children: readonly string[] } {
    const object = this.#get(id);
    if (object.type !== type) throw refuse(`The object ${id} is of type ${object.type}, not ${type}.`);
    if (object.body === null) throw refuse(`The ${type} of ${object.bodyLength} bytes is too large to be read.`);
    return { body: object.body, children: object.children };
  }

  names(id: string, type: 'RecordDict' | 'ArrayRecord'): [string, string][] {
    const { body, children } = this.take(id, type);
    return readNamesBody(body, children);
  }

  metrics(id: string): ConfigEntry[] {
    return bounded(decodeMetricRecord(this.#record(id, 'MetricRecord')));
  }

  config(id: string): ConfigEntry[] {
    return bounded(decodeConfigRecord(this.#record(id, 'ConfigRecord')));
  }

  tensors(recordId: string): ReplyTensor[] {
    return this.names(recordId, 'ArrayRecord').map(([name, arrayId]) => {
      const { children } = this.take(arrayId, 'Array');
      const { stype, chunks } = this.#array(arrayId);
      if (stype !== 'numpy.ndarray')
        throw refuse(`The array "${name}" is serialised as "${stype}", not as numpy.ndarray.`);
      this.#slices += chunks.length;
      if (this.#slices > limits.slices) throw refuse(`The arrays have more than ${limits.slices} chunks together.`);
      return { name, slices: chunks.map((index) => this.#slice(children[index] ?? '')) };
    });
  }

  /** Where in the record's object the values of a list of bytes are. */
  bytesList(id: string, key: string): ReplySlice[] {
    const record = this.#get(id);
    if (record.type !== 'ConfigRecord') throw refuse(`The object ${id} is of type ${record.type}, not ConfigRecord.`);
    const lists = record.lists ?? byteLists(record.body ?? Buffer.alloc(0));
    const ranges = lists.get(key);
    if (ranges === undefined) throw refuse(`The record "${SECAGGPLUS_RECORD}" has no list of bytes under "${key}".`);
    return ranges.map(({ offset, length }) => ({ part: id, offset: record.headerLength + offset, length }));
  }

  #array(id: string): ArrayBody {
    const { body, children } = this.take(id, 'Array');
    const array = this.#arrays.get(id) ?? readArrayBody(body, children);
    this.#arrays.set(id, array);
    return array;
  }

  #record(id: string, type: 'MetricRecord' | 'ConfigRecord'): Buffer {
    const { body } = this.take(id, type);
    if (body.byteLength > limits.record)
      throw refuse(`A ${type} of ${body.byteLength} bytes is larger than ${limits.record}.`);
    return body;
  }

  #slice(chunkId: string): ReplySlice {
    const chunk = this.#get(chunkId);
    if (chunk.type !== 'ArrayChunk') throw refuse(`The object ${chunkId} is of type ${chunk.type}, not ArrayChunk.`);
    return { part: chunkId, offset: chunk.headerLength, length: chunk.bodyLength };
  }

  #get(id: string): HeldObject {
    const object = this.#objects.get(id);
    if (object === undefined) throw refuse(`The object ${id} was never received.`);
    return object;
  }
}

function bounded(entries: ConfigEntry[]): ConfigEntry[] {
  if (entries.length > limits.metrics) throw refuse(`A record has more than ${limits.metrics} entries.`);
  return entries;
}
