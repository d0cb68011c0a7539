import type { ConfigEntry } from '@aegis/flower-wire';
import type { Received } from '../../services/gateway/src/testing/flower-reply.ts';
import type { Offer } from '../../services/gateway/src/testing/messages.ts';
import { floatsOf, npyOf } from '../../services/gateway/src/testing/npy.ts';
import { type FlowerDialect, SimulatedNode } from '../../services/gateway/src/testing/simulated-node.ts';
import type { Target } from '../../services/gateway/src/testing/wire-client.ts';

export interface Content {
  arrays?: Map<string, Buffer>;
  metrics: ConfigEntry[];
}
/** What a node's app does with a message; null = it never answers. */
export type App = (offer: Offer, received: Received, node: SimulatedNode) => Content | null | Promise<Content | null>;

export const examples = (count: number): ConfigEntry => ({
  key: 'num-examples',
  value: { kind: 'integer', value: BigInt(count) },
});
export const metric = (key: string, value: number): ConfigEntry => ({ key, value: { kind: 'real', value } });

/** Adds `by` to every value it is given. */
export const adds =
  (by: number, count: number): App =>
  (offer, { arrays }) =>
    offer.head.type === 'evaluate'
      ? { metrics: [examples(count), metric('loss', by)] }
      : {
          arrays: new Map([...arrays].map(([name, npy]) => [name, npyOf(floatsOf(npy).map((value) => value + by))])),
          metrics: [examples(count), metric('seen', by)],
        };

/** A node that pulls, works and pushes until it is stopped; like a stock one it retries what is worth it. */
export class WorkingNode {
  readonly node: SimulatedNode;
  readonly #app: App;
  readonly #stopping = new AbortController();
  readonly outcomes: ('stored' | 'refused' | 'over')[] = [];
  #loop: Promise<void> | undefined;

  constructor(target: Target, dialect: FlowerDialect, app: App) {
    this.node = new SimulatedNode(target, dialect);
    this.#app = app;
  }

  async start(): Promise<bigint> {
    const nodeId = await this.node.start();
    this.#loop = this.#work();
    return nodeId;
  }

  /** Gone without a word. */
  async kill(): Promise<void> {
    this.#stopping.abort();
    this.node.close();
    await this.#loop;
  }

  async leave(): Promise<void> {
    this.#stopping.abort();
    await this.node.stop();
    this.node.close();
    await this.#loop;
  }

  async #work(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const offer = await retried(() => this.node.pull(signal), signal);
        if (!offer) continue;
        const received = await retried(() => this.node.fetch(offer), signal);
        const content = await this.#app(offer, received, this.node);
        if (!content) continue;
        const reply = this.node.reply(offer, content);
        const { wanted, session } = await retried(
          () => this.node.messages.announce(this.node.nodeId, reply.head, reply.tree, 0.1),
          signal,
        );
        let stored = true;
        for (const id of wanted) stored = await retried(() => this.node.pushPart(reply, id, session), signal);
        this.outcomes.push(stored ? 'stored' : 'refused');
      } catch {
        if (!signal.aborted) this.outcomes.push('over');
      }
    }
  }
}

/** Connection trouble and 503 / UNAVAILABLE pass by waiting; everything else ends the message. */
const retried = async <T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> => {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const { status } = error as { status?: number };
      const passes = status === undefined || status === 503 || status === 14 || status === 1;
      if (signal.aborted || !passes) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
};
