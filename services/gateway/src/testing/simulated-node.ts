import type { ConfigEntry } from '@aegis/flower-wire';
import { FleetMessages } from './fleet-messages.ts';
import { failureOf, idsBelow, type Received, readTask, replyOf } from './flower-reply.ts';
import type { Offer, Reply } from './messages.ts';
import { NodeKey, type Signed } from './node-key.ts';
import { grpcClient, httpClient, type Target, type WireClient } from './wire-client.ts';

export type FlowerDialect = 'A' | 'B' | 'C';

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
    return readTask(offer.tree.id, objects);
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
    return replyOf(this.nodeId, offer, {
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
    return replyOf(this.nodeId, offer, { ...content, arrays: Object.fromEntries(arrays) });
  }

  /** The node could not do the task. */
  failure(offer: Offer, code: number, reason: string): Reply {
    return failureOf(this.nodeId, offer, code, reason);
  }
}
