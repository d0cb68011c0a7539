import type { Telemetry } from '@aegis/service-kit';
import type { Gateway } from '../../flows/gateway.ts';
import type { Counted } from '../counted.ts';
import type { ModelBlocks } from '../model-blocks.ts';
import type { Turns } from './turns.ts';

export interface JoinParts {
  readonly gateway: Gateway;
  readonly telemetry: Telemetry;
  readonly counted: Counted;
  readonly models: ModelBlocks;
  readonly turns: Turns;
  /** The largest message that gRPC takes. */
  readonly messageBytes: number;
}
