import { NodeService } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import { toGrpcStatus } from '@aegis/service-kit';
import type { Server, ServerDuplexStream, ServiceDefinition } from '@grpc/grpc-js';
import type { NodeRecord } from '../../domain/node.ts';
import type { StreamRules } from '../grpc-frames.ts';
import { CONNECT_PATH, nodeLimits } from './limits.ts';
import { Offers } from './offer.ts';
import type { LiveStream, NodeDoorParts, Streams } from './parts.ts';
import { NodeStream } from './stream.ts';

export { CONNECT_PATH, nodeLimits } from './limits.ts';

/** Service names that health answers for. */
export const NODE_SERVICE = 'aegis.node.v1.Node';

/** aegis.node.v1: one stream per native client, on the flows that Flower's doors use. */
export class NodeDoor implements Streams {
  readonly #parts: NodeDoorParts;
  readonly #live = new Map<bigint, { stream: LiveStream; activatedAt: number }>();

  constructor(parts: Omit<NodeDoorParts, 'offers'>) {
    this.#parts = { ...parts, offers: new Offers(parts.gateway, parts.models) };
    // The node said Hello at another gateway: here it is gone.
    parts.gateway.nodes.onChange((nodeId, record) => {
      const live = this.#live.get(nodeId);
      if (live && record && record.activatedAt > live.activatedAt) this.#replaced(live.stream);
    });
  }

  get size(): number {
    return this.#live.size;
  }

  admission(): StreamRules {
    return {
      firstLimit: nodeLimits.helloFrame,
      enter: (peer) => {
        const connection = this.#parts.connectionOf(peer);
        this.#parts.gateway.admission.arrives('enrolment', { address: peer.replace(/:\d{1,5}$/, ''), connection });
      },
      admit: (announced, holder) => this.#parts.budget.open(announced, holder),
      refuse: (error, peer) => {
        this.#parts.counted.refused('node', error, { path: CONNECT_PATH, status: undefined, peer });
        return toGrpcStatus(error);
      },
    };
  }

  addTo(server: Server): void {
    const { connect } = NodeService;
    const bytes = {
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
    server.addService({ connect: { ...connect, ...bytes } } as ServiceDefinition, {
      connect: (call: ServerDuplexStream<Buffer, Buffer>) => void new NodeStream(this.#parts, this, call),
    });
  }

  opened({ nodeId, activatedAt }: NodeRecord, stream: LiveStream): void {
    const before = this.#live.get(nodeId);
    this.#live.set(nodeId, { stream, activatedAt });
    if (before) this.#replaced(before.stream);
  }

  closed(nodeId: bigint, stream: LiveStream): boolean {
    return this.#live.get(nodeId)?.stream === stream && this.#live.delete(nodeId);
  }

  // Not asked to come again: two clients with one key would drive each other out for ever.
  #replaced(stream: LiveStream): void {
    stream.fail(new AegisError('NODE_REPLACED'));
  }
}

const same = (bytes: Buffer): Buffer => bytes;
