import type { AegisError } from '@aegis/errors';
import type { Telemetry } from '@aegis/service-kit';
import type { NodeRecord } from '../../domain/node.ts';
import type { Gateway } from '../../flows/gateway.ts';
import type { BodyBudget } from '../body-budget.ts';
import type { Counted } from '../counted.ts';
import type { ModelBlocks } from '../model-blocks.ts';
import type { Offers } from './offer.ts';

export interface NodeDoorParts {
  readonly gateway: Gateway;
  readonly telemetry: Telemetry;
  readonly counted: Counted;
  readonly budget: BodyBudget;
  readonly models: ModelBlocks;
  /** Identity of the live connection a peer calls over. */
  connectionOf(peer: string): object | undefined;
  readonly offers: Offers;
}

export interface LiveStream {
  /** Ends it with this error as its status. */
  fail(error: AegisError): void;
}

/** The live streams, at most one per node. */
export interface Streams {
  /** An older stream of the node is told to go. */
  opened(node: NodeRecord, stream: LiveStream): void;
  /** True when it was the live one. */
  closed(nodeId: bigint, stream: LiveStream): boolean;
}
