import { EventEmitter } from 'node:events';

/** Which connections a node's calls come over: when the last one closes, somebody should hear of it. */
export class NodeConnections {
  readonly #connectionsOf = new Map<bigint, Set<object>>();
  readonly #nodesOf = new WeakMap<object, Set<bigint>>();
  readonly #onLast: (nodeId: bigint) => void;

  constructor(onLast: (nodeId: bigint) => void) {
    this.#onLast = onLast;
  }

  /** The node was heard over this connection. */
  heard(nodeId: bigint, connection: object): void {
    if (!(connection instanceof EventEmitter)) return;
    let nodes = this.#nodesOf.get(connection);
    if (!nodes) {
      nodes = new Set();
      this.#nodesOf.set(connection, nodes);
      connection.once('close', () => this.#closed(connection));
    }
    if (nodes.has(nodeId)) return;
    nodes.add(nodeId);
    const connections = this.#connectionsOf.get(nodeId);
    if (connections) connections.add(connection);
    else this.#connectionsOf.set(nodeId, new Set([connection]));
  }

  #closed(connection: object): void {
    for (const nodeId of this.#nodesOf.get(connection) ?? []) {
      const connections = this.#connectionsOf.get(nodeId);
      connections?.delete(connection);
      if (connections?.size !== 0) continue;
      this.#connectionsOf.delete(nodeId);
      this.#onLast(nodeId);
    }
  }
}
