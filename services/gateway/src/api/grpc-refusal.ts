import { Socket } from 'node:net';
import type { AegisError } from '@aegis/errors';
import { Metadata, type StatusObject } from '@grpc/grpc-js';
import { type Rate, TokenBucket } from '../domain/token-bucket.ts';

const RETRY_MS = 1_000;
/** Refused calls of one connection: each costs a stream, and whoever was told so often does not listen. */
const RATE: Rate = { perSecond: 1, burst: 32 };

type Outcome = Pick<StatusObject, 'code' | 'details'> & Partial<Pick<StatusObject, 'metadata'>>;

/** Adds when to come back, as gRPC has it, for what will pass. Stock SuperNodes wait by a rule of their own. */
export const withRetryHint = (outcome: Outcome, { entry }: AegisError): Outcome => {
  if (entry.kind !== 'unavailable') return outcome;
  const metadata = outcome.metadata ?? new Metadata();
  metadata.set('grpc-retry-pushback-ms', String(RETRY_MS));
  return { ...outcome, metadata };
};

/** Ends connections that go on calling after they were told, many times, that they call too often. */
export class Patience {
  readonly #now: () => number;
  readonly #left = new WeakMap<object, TokenBucket>();

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  refused(connection: object): void {
    const left = this.#left.get(connection) ?? new TokenBucket(RATE, this.#now());
    this.#left.set(connection, left);
    if (!left.take(this.#now()) && connection instanceof Socket) connection.destroy();
  }
}
