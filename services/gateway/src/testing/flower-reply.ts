import {
  arrayBody,
  type ConfigEntry,
  decodeConfigRecord,
  encodeConfigRecord,
  encodeMetricRecord,
  makeMessageObject,
  makeObject,
  namesBody,
  type ObjectTreeNode,
  readArrayBody,
  readNamesBody,
  readObject,
} from '@aegis/flower-wire';
import type { Offer, Reply } from './messages.ts';

// What a Flower client sends as its answer, and what it reads out of a task: objects and trees, whatever carries them.

export interface Received {
  arrays: Map<string, Buffer>;
  config: Map<string, ConfigEntry['value']>;
}

export interface Records {
  arrays?: Record<string, ReadonlyMap<string, Buffer>>;
  metrics?: Record<string, ConfigEntry[]>;
  configs?: Record<string, ConfigEntry[]>;
}

/** `createdAt` in Unix seconds: the same records at another time are another message. */
export const replyOf = (nodeId: bigint, offer: Offer, content: Records, createdAt = Date.now() / 1000): Reply => {
  const objects = new Map<string, Buffer>();
  const records = new Map<string, ObjectTreeNode>();
  const names: [string, string][] = [];
  const add = (name: string, tree: ObjectTreeNode): void => {
    records.set(tree.id, tree);
    names.push([name, tree.id]);
  };
  const make = (type: Parameters<typeof makeObject>[0], children: ObjectTreeNode[], body: Buffer): ObjectTreeNode => {
    const { id, bytes } = makeObject(
      type,
      children.map((child) => child.id),
      body,
    );
    objects.set(id, bytes);
    return { id, children };
  };
  const array = (npy: Buffer): ObjectTreeNode => {
    const chunks = [...chunksOf(npy)].map((chunk) => make('ArrayChunk', [], chunk));
    const used = distinct(chunks);
    const indices = chunks.map(({ id }) => used.findIndex((chunk) => chunk.id === id));
    return make('Array', used, arrayBody({ dtype: '', shape: [], stype: 'numpy.ndarray', chunks: indices }));
  };
  for (const [name, npys] of Object.entries(content.arrays ?? {})) {
    const arrays = [...npys].map(([key, npy]) => [key, array(npy)] as const);
    const body = namesBody(arrays.map(([key, { id }]) => [key, id]));
    add(name, make('ArrayRecord', distinct(arrays.map(([, tree]) => tree)), body));
  }
  for (const [name, entries] of Object.entries(content.configs ?? {})) {
    add(name, make('ConfigRecord', [], encodeConfigRecord(entries)));
  }
  for (const [name, entries] of Object.entries(content.metrics ?? {})) {
    add(name, make('MetricRecord', [], encodeMetricRecord(entries)));
  }
  const dict = make('RecordDict', [...records.values()], namesBody(names));
  return { ...sealed(nodeId, offer, dict, null, objects, createdAt), objects };
};

/** The node could not do the task. */
export const failureOf = (
  nodeId: bigint,
  offer: Offer,
  code: number,
  reason: string,
  createdAt = Date.now() / 1000,
): Reply => {
  const objects = new Map<string, Buffer>();
  return { ...sealed(nodeId, offer, null, { code, reason }, objects, createdAt), objects };
};

const sealed = (
  nodeId: bigint,
  { head }: Offer,
  dict: ObjectTreeNode | null,
  error: Reply['head']['error'],
  objects: Map<string, Buffer>,
  createdAt: number,
) => {
  const unsent = {
    runId: head.runId,
    sourceNodeId: nodeId,
    destinationNodeId: 1n,
    replyTo: head.messageId,
    groupId: head.groupId,
    ttl: head.ttl - (createdAt - head.createdAt),
    type: head.type,
    createdAt,
  };
  const { id, bytes } = makeMessageObject(unsent, dict?.id ?? null, error);
  objects.set(id, bytes);
  return { head: { ...unsent, messageId: id, error }, tree: { id, children: dict ? [dict] : [] } };
};

export const CHUNK = 5_242_880;

const distinct = (trees: readonly ObjectTreeNode[]): ObjectTreeNode[] => [
  ...new Map(trees.map((tree) => [tree.id, tree])).values(),
];

function* chunksOf(npy: Buffer): Generator<Buffer> {
  for (let at = 0; at < npy.length; at += CHUNK) yield npy.subarray(at, at + CHUNK);
}

export const idsBelow = (tree: ObjectTreeNode): string[] => {
  const ids = new Set<string>();
  const visit = (node: ObjectTreeNode): void => {
    node.children.forEach(visit);
    ids.add(node.id);
  };
  visit(tree);
  return [...ids];
};

export const readTask = (rootId: string, objects: Map<string, Buffer>): Received => {
  const object = (id: string) => readObject(objects.get(id) ?? Buffer.alloc(0));
  const [dictId = ''] = object(rootId).children;
  const dict = object(dictId);
  const arrays = new Map<string, Buffer>();
  const config = new Map<string, ConfigEntry['value']>();
  for (const [, recordId] of readNamesBody(dict.body, dict.children)) {
    const record = object(recordId);
    if (record.type === 'ConfigRecord') {
      for (const { key, value } of decodeConfigRecord(record.body)) config.set(key, value);
    } else if (record.type === 'ArrayRecord') {
      for (const [name, arrayId] of readNamesBody(record.body, record.children)) {
        const array = object(arrayId);
        const { chunks } = readArrayBody(array.body, array.children);
        const parts = chunks.map((index) => object(array.children[index] ?? '').body);
        arrays.set(name, Buffer.concat(parts));
      }
    }
  }
  return { arrays, config };
};
