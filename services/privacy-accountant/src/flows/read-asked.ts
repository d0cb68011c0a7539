import { createHash } from 'node:crypto';
import { type Charges, eventTexts, readEvents } from '../domain/charges.ts';
import { type AskedPolicy, type Policy, readPolicy } from '../domain/policy.ts';
import type { Accounting } from './accounting.ts';

/** Events in the core's own spelling, so that two spellings of one event are one event; refused when they cannot be accounted for. */
export function readCharges(accounting: Accounting, texts: readonly string[], unit: string): Charges {
  // what is no event at all is told in the words of the ledger, and never reaches the core
  const charges = readEvents(texts, unit);
  return charges.size === 0 ? charges : readEvents(accounting.check(eventTexts(charges)), unit);
}

export function readCheckedPolicy(accounting: Accounting, asked: AskedPolicy): { policy: Policy; digest: string } {
  const { schedule, ...rest } = readPolicy(asked);
  const checked = schedule === null ? null : readCharges(accounting, eventTexts(schedule), rest.unit);
  const policy: Policy = { ...rest, schedule: checked };
  return { policy, digest: digestOf([policyLine(policy)]) };
}

const policyLine = ({ runId, dataset, partition, unit, epsilon, delta, schedule }: Policy): string =>
  JSON.stringify([
    runId.toString(),
    dataset,
    partition,
    unit,
    epsilon,
    delta,
    schedule === null ? null : eventTexts(schedule),
  ]);

/** SHA-256 over the parts, none of which can run into the next. */
export function digestOf(parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part);
  return hash.digest('hex');
}
