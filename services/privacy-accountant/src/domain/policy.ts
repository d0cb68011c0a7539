import { AegisError } from '@aegis/errors';
import { checkBudget, DEFAULT_DELTA, DEFAULT_EPSILON } from './budget.ts';
import { type Charges, readEvents } from './charges.ts';
import { isName } from './scope.ts';

/** Who the guarantee is for. A per-update clip bounds what one update says, so it says nothing about single examples. */
const UNITS = ['node', 'user'] as const;
export type Unit = (typeof UNITS)[number];

export interface Policy {
  readonly runId: bigint;
  readonly dataset: string;
  /** '' = the data set as a whole. */
  readonly partition: string;
  readonly unit: Unit;
  /** The run's own budget; null: the default for runs. */
  readonly epsilon: number | null;
  readonly delta: number | null;
  /** Everything the run may let out, fixed ahead; null: it adapts. */
  readonly schedule: Charges | null;
}

/** A policy as callers write it. */
export interface AskedPolicy {
  readonly runId: bigint;
  readonly dataset: string;
  readonly partition: string;
  readonly unit: string;
  readonly epsilon: number;
  readonly delta: number;
  readonly schedule: readonly string[];
}

export function readPolicy(asked: AskedPolicy): Policy {
  const { runId, dataset, partition, epsilon, delta } = asked;
  if (runId === 0n) refuse('run_id is missing.');
  if (!isName(dataset)) refuse(`dataset is ${JSON.stringify(dataset)}; give 1 to 128 letters, digits and . _ / : -`);
  if (partition !== '' && !isName(partition)) refuse(`partition is ${JSON.stringify(partition)}, which is no name.`);
  const unit = readUnit(asked.unit);
  checkBudget('run', epsilon === 0 ? DEFAULT_EPSILON : epsilon, delta === 0 ? DEFAULT_DELTA : delta);
  return {
    runId,
    dataset,
    partition,
    unit,
    epsilon: epsilon === 0 ? null : epsilon,
    delta: delta === 0 ? null : delta,
    schedule: asked.schedule.length === 0 ? null : readEvents(asked.schedule, unit),
  };
}

function readUnit(text: string): Unit {
  const unit = UNITS.find((known) => known === text);
  if (unit !== undefined) return unit;
  if (text === 'example')
    throw new AegisError(
      'PRIVACY_UNIT_UNPROTECTED',
      'unit is "example"; what is clipped here is the update of a whole node. Only the client that trains can protect examples.',
    );
  return refuse(`unit is ${JSON.stringify(text)}; it must be "node" or "user".`);
}

function refuse(detail: string): never {
  throw new AegisError('PRIVACY_POLICY_INVALID', detail);
}
