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
import { FleetMessages } from './fleet-messages.ts';
import type { Offer, Reply } from './messages.ts';
import { NodeKey, type Signed } from './node-key.ts';
import { grpcClient, httpClient, type Target, type WireClient } from './wire-client.ts';

export type FlowerDialect = 'A' | 'B' | 'C';

export interface Received {
  arrays: Map<string, Buffer>;
  config: Map<string, ConfigEntry['value']>;
}
interface Records {
  arrays?: Record<string, ReadonlyMap<string, Buffer>>;
  metrics?: Record<string, ConfigEntry[]>;
  configs?: Record<string, ConfigEntry[]>;
}

/** Looks like a stock SuperNode to a server: same calls, same bytes, same order; the app is whatever the test says. */
export class SimulatedNode {
  readonly key: NodeKey;
  readonly dialect: FlowerDialect;
  readonly wire: WireClient;
  readonly messages: FleetMessages;
  nodeId = 0n;

  constructor(target: Target, dialect: FlowerDialect = 'A', key = new NodeKey()) {
    this.key = key;
    this.dialect = dialect;
    this.wire = dialect === 'A' ? httpClient(target) : grpcClient(target, dialect === 'B' ? '1.39.0' : '');
    this.messages = new FleetMessages((method, body, signal) => this.wire.call(method, body, this.sign(), signal));
  }

  /** What goes with every call; tests replace it to misbehave. */
  sign: () => Partial<Signed> = () => this.key.sign();

  /** Comes to work; `register` false = the key is known to the server already. */
  async start({ register = true, heartbeatSeconds = 30 } = {}): Promise<bigint> {
    if (this.dialect === 'C') {
      this.nodeId = await this.messages.createNode(heartbeatSeconds);
    } else {
      if (register) await this.messages.registerNode(this.key.publicKeyPem);
      this.nodeId = await this.messages.activateNode(this.key.publicKeyPem, heartbeatSeconds);
    }
    return this.nodeId;
  }

  async stop({ unregister = true } = {}): Promise<void> {
    if (this.dialect === 'C') return this.messages.deleteNode(this.nodeId);
    await this.messages.deactivateNode(this.nodeId);
    if (unregister) await this.messages.unregisterNode(this.nodeId);
  }

  close(): void {
    this.wire.close();
  }

  heartbeat(seconds = 30): Promise<boolean> {
    return this.messages.heartbeat(this.nodeId, seconds);
  }

  pull(signal?: AbortSignal): Promise<Offer | null> {
    return this.messages.pull(this.nodeId, signal);
  }

  /** Pulls until there is work. */
  async work(): Promise<Offer> {
    for (;;) {
      const offer = await this.pull();
      if (offer) return offer;
    }
  }

  /** Every object of the message, children first, put together again; confirmed. */
  async fetch(offer: Offer): Promise<Received> {
    const objects = new Map<string, Buffer>();
    for (const id of idsBelow(offer.tree)) {
      const content = await this.messages.pullObject(this.nodeId, offer.head.runId, id);
      if (!content) throw new Error(`object ${id} is not there`);
      objects.set(id, content);
    }
    await this.messages.confirm(this.nodeId, offer.head.runId, offer.head.messageId);
    return readMessage(offer.tree.id, objects);
  }

  async push(reply: Reply, runtimeSeconds = 0.5): Promise<boolean> {
    const { wanted, session } = await this.messages.announce(this.nodeId, reply.head, reply.tree, runtimeSeconds);
    let stored = true;
    for (const id of wanted) stored = await this.pushPart(reply, id, session);
    return stored;
  }

  pushPart(reply: Reply, id: string, session: string): Promise<boolean> {
    const content = reply.objects.get(id) ?? Buffer.alloc(0);
    return this.messages.pushObject(this.nodeId, reply.head.runId, id, content, session);
  }

  /** As a Message-API app answers. */
  reply(offer: Offer, content: { arrays?: Map<string, Buffer>; metrics: ConfigEntry[] }): Reply {
    return this.#replyOf(offer, {
      ...(content.arrays && { arrays: { arrays: content.arrays } }),
      metrics: { metrics: content.metrics },
    });
  }

  /** As a NumPyClient app answers: arrays by number, records by their old names. */
  legacyReply(
    offer: Offer,
    content: {
      arrays?: Record<string, Buffer[]>;
      metrics?: Record<string, ConfigEntry[]>;
      configs?: Record<string, ConfigEntry[]>;
    },
  ): Reply {
    const arrays = Object.entries(content.arrays ?? {}).map(([name, npys]) => {
      return [name, new Map(npys.map((npy, index) => [String(index), npy]))] as const;
    });
    return this.#replyOf(offer, { ...content, arrays: Object.fromEntries(arrays) });
  }

  #replyOf(offer: Offer, content: Records): Reply {
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
    return { ...this.#sealed(offer, dict, null, objects), objects };
  }

  /** The node could not do the task. */
  failure(offer: Offer, code: number, reason: string): Reply {
    const objects = new Map<string, Buffer>();
    return { ...this.#sealed(offer, null, { code, reason }, objects), objects };
  }

  #sealed(offer: Offer, dict: ObjectTreeNode | null, error: Reply['head']['error'], objects: Map<string, Buffer>) {
    const { head } = offer;
    const createdAt = Date.now() / 1000;
    const unsent = {
      runId: head.runId,
      sourceNodeId: this.nodeId,
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
  }
}

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

const readMessage = (rootId: string, objects: Map<string, Buffer>): Received => {
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
